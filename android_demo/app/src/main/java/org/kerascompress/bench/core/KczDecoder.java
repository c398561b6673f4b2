package org.kerascompress.bench.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The native decoder of packed (`.kcz`) models: from one direct buffer into another. */
public final class KczDecoder {
    /** Version of the C interface that this class was written for. */
    private static final int ABI = 1;
    private static final int STATUS_MEMORY = 2;

    static {
        System.loadLibrary("keras_compress_jni");
    }

    private KczDecoder() {}

    /** Loads the library; fails if it is of another version than this class. */
    public static void load() throws BenchmarkException {
        if (abiVersion() != ABI) {
            throw new BenchmarkException("The native library must have interface version " + ABI
                    + ". Received: " + abiVersion() + ". Reinstall the app.");
        }
    }

    public static boolean isPacked(ByteBuffer file) {
        return file.capacity() >= 4 && (file.get(0) & 0xff) == 0x89 && file.get(1) == 'K'
                && file.get(2) == 'C' && file.get(3) == 'Z';
    }

    /**
     * Restores the original, checksum verified.
     *
     * @param packed the whole file, direct
     * @param name what errors call it
     * @param limit most bytes that the original may have; checked before they are allocated
     */
    public static ByteBuffer decode(ByteBuffer packed, String name, long limit)
            throws BenchmarkException {
        long[] error = new long[5];
        long size = unpackedSize(packed, packed.capacity(), error);
        if (size < 0) {
            throw failed(name, error);
        }
        if (size > limit || size > Integer.MAX_VALUE - 64) {
            throw new BenchmarkException("A model may take at most " + limit + " bytes once unpacked"
                    + " (what this device has free). Received: " + name + ", which declares " + size
                    + ".");
        }
        ByteBuffer out;
        try {
            out = ByteBuffer.allocateDirect((int) size).order(ByteOrder.nativeOrder());
        } catch (OutOfMemoryError none) {
            throw new BenchmarkException("There is no memory for the " + size + " bytes of " + name
                    + ". Close other apps, or use a smaller model.", none);
        }
        long written = unpackInto(packed, packed.capacity(), out, size, error);
        if (written != size) {
            throw failed(name, error);
        }
        return out;
    }

    private static BenchmarkException failed(String name, long[] error) {
        if (error[0] == STATUS_MEMORY) {
            return new BenchmarkException("There is no memory to unpack " + name
                    + ". Close other apps, or use a smaller model.");
        }
        String place = error[1] == 0 ? "" : " (" + placeName((int) error[1])
                + (error[2] > 0 ? " " + error[2] : "") + ")";
        return new BenchmarkException("A packed model must be whole and unchanged. Received: " + name
                + ": " + statusMessage((int) error[0]) + place + ". Copy the file anew.");
    }

    private static native int abiVersion();

    static native int formatVersion();

    static native long unpackedSize(ByteBuffer packed, long length, long[] error);

    static native long unpackInto(ByteBuffer packed, long length, ByteBuffer out, long capacity,
            long[] error);

    static native String statusMessage(int status);

    static native String placeName(int place);

    static native boolean hasBinaryDelegate();

    static native long createBinaryDelegate();

    static native void deleteBinaryDelegate(long handle);
}
