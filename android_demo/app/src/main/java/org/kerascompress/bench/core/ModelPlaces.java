package org.kerascompress.bench.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Where models may lie: the app's own folders, and its assets. Nothing else is opened. */
public final class ModelPlaces {
    public static final String ASSET = "asset:";
    /** Largest file that is read into memory. */
    static final long LARGEST_FILE = 1L << 30;

    /** What came with the app. */
    public interface Bundled {
        List<String> names() throws IOException;

        InputStream open(String name) throws IOException;
    }

    private final File folder;
    private final List<File> allowed;
    private final Bundled bundled;

    /**
     * @param folder where relative names are looked up: `files/models` of the app
     * @param allowed folders of the app that absolute names may lie in
     */
    public ModelPlaces(File folder, List<File> allowed, Bundled bundled) {
        this.folder = folder;
        this.allowed = new ArrayList<>(allowed);
        this.bundled = bundled;
    }

    /** Names of all models, the app's own first. */
    public List<String> names() throws IOException {
        List<String> names = new ArrayList<>();
        for (String name : bundled.names()) {
            if (isModel(name)) {
                names.add(ASSET + name);
            }
        }
        File[] files = folder.listFiles();
        if (files != null) {
            Arrays.sort(files);
            for (File file : files) {
                if (file.isFile() && isModel(file.getName())) {
                    names.add(file.getName());
                }
            }
        }
        return names;
    }

    public static boolean isModel(String name) {
        return name.endsWith(".tflite") || name.endsWith(".kcz");
    }

    /** What results call the model. */
    public static String shortName(String name) {
        String plain = name.startsWith(ASSET) ? name.substring(ASSET.length()) : name;
        return plain.substring(plain.lastIndexOf('/') + 1);
    }

    /** Bytes of a listed model, for showing. */
    public long size(String name) throws BenchmarkException {
        if (!name.startsWith(ASSET)) {
            return resolve(name).length();
        }
        return read(name).capacity();
    }

    /** The whole file in a direct buffer. */
    public ByteBuffer read(String name) throws BenchmarkException {
        try {
            if (name.startsWith(ASSET)) {
                String asset = name.substring(ASSET.length());
                if (!bundled.names().contains(asset)) {
                    throw new BenchmarkException("Models that came with the app are "
                            + bundled.names() + ". Received: " + BenchmarkException.shown(asset)
                            + ".");
                }
                try (InputStream in = bundled.open(asset)) {
                    return direct(all(in));
                }
            }
            File file = resolve(name);
            long size = file.length();
            if (size > LARGEST_FILE) {
                throw new BenchmarkException("A model file may have at most " + LARGEST_FILE
                        + " bytes. Received: " + shortName(name) + " with " + size + ".");
            }
            try (FileInputStream in = new FileInputStream(file)) {
                ByteBuffer bytes = allocate((int) size, name);
                while (bytes.hasRemaining() && in.getChannel().read(bytes) >= 0) {
                    continue;
                }
                if (bytes.hasRemaining()) {
                    throw new IOException("it ended early");
                }
                bytes.rewind();
                return bytes;
            }
        } catch (IOException error) {
            throw new BenchmarkException("Can't read " + BenchmarkException.shown(name) + ": "
                    + BenchmarkException.oneLine(error.getMessage()) + ".", error);
        }
    }

    /** The file of that name, if it lies in a folder of the app. */
    public File resolve(String name) throws BenchmarkException {
        File file = inside(name, folder);
        if (!file.isFile()) {
            throw new BenchmarkException("A model must be a file in " + folder + " (push it there with"
                    + " adb), or asset:NAME. Received: " + BenchmarkException.shown(name)
                    + ", which is none.");
        }
        return file;
    }

    /** The place that `name` means, below `base` if relative; refused outside the app's folders. */
    File inside(String name, File base) throws BenchmarkException {
        if (name.indexOf('\0') >= 0) {
            throw new BenchmarkException("A path can't hold a zero byte. Received: "
                    + BenchmarkException.shown(name) + ".");
        }
        File file = new File(name);
        if (!file.isAbsolute()) {
            file = new File(base, name);
        }
        try {
            // Links and .. are followed before the comparison.
            String real = file.getCanonicalPath();
            for (File root : allowed) {
                if (real.startsWith(root.getCanonicalPath() + File.separator)) {
                    return new File(real);
                }
            }
        } catch (IOException error) {
            // Said below.
        }
        throw new BenchmarkException("Only files in the app's own folders are used: " + allowed
                + ". Received: " + BenchmarkException.shown(name) + ".");
    }

    private static ByteBuffer allocate(int size, String name) throws BenchmarkException {
        try {
            return ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder());
        } catch (OutOfMemoryError error) {
            throw new BenchmarkException("There is no memory for the " + size + " bytes of "
                    + shortName(name) + ". Close other apps, or use a smaller model.", error);
        }
    }

    private static byte[] all(InputStream in) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] part = new byte[65536];
        for (int size = in.read(part); size >= 0; size = in.read(part)) {
            out.write(part, 0, size);
        }
        return out.toByteArray();
    }

    private static ByteBuffer direct(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length).order(ByteOrder.nativeOrder());
        buffer.put(bytes);
        buffer.rewind();
        return buffer;
    }

    byte[] asset(String name) throws BenchmarkException {
        try (InputStream in = bundled.open(name)) {
            return all(in);
        } catch (IOException error) {
            throw new BenchmarkException("The app's own file " + name + " can't be read. Reinstall "
                    + "the app.", error);
        }
    }
}
