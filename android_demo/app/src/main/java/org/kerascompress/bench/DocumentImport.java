package org.kerascompress.bench;

import android.content.ContentResolver;
import android.net.Uri;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import org.kerascompress.bench.core.BenchmarkException;

/** Copies a document that the user picked into the app's folder, whole or not at all. */
final class DocumentImport {
    static final long LARGEST = 1L << 30;
    private static final byte[] PACKED = {(byte) 0x89, 'K', 'C', 'Z'};

    private DocumentImport() {}

    /** Returns the name it has in the folder. What it is shows in its bytes, not in its name. */
    static String copy(ContentResolver resolver, Uri uri, String shown, File folder)
            throws BenchmarkException {
        File part = new File(folder, ".import.part");
        try (InputStream in = resolver.openInputStream(uri)) {
            if (in == null) {
                throw new IOException("the app that has it gives nothing");
            }
            byte[] head = new byte[8];
            int size = 0;
            while (size < head.length) {
                int more = in.read(head, size, head.length - size);
                if (more < 0) {
                    break;
                }
                size += more;
            }
            String name = safeName(shown) + ending(head, size, shown);
            long total = size;
            try (FileOutputStream out = new FileOutputStream(part)) {
                out.write(head, 0, size);
                byte[] bytes = new byte[65536];
                for (int n = in.read(bytes); n >= 0; n = in.read(bytes)) {
                    total += n;
                    if (total > LARGEST) {
                        throw new BenchmarkException("A model file may have at most " + LARGEST
                                + " bytes. Received: " + BenchmarkException.shown(shown)
                                + ", which has more.");
                    }
                    out.write(bytes, 0, n);
                }
                out.getFD().sync();
            }
            if (!part.renameTo(new File(folder, name))) {
                throw new IOException("it can't be renamed");
            }
            return name;
        } catch (IOException | RuntimeException error) {
            throw new BenchmarkException("Can't copy " + BenchmarkException.shown(shown) + ": "
                    + BenchmarkException.oneLine(error.getMessage()) + ".", error);
        } finally {
            part.delete();
        }
    }

    private static String ending(byte[] head, int size, String shown) throws BenchmarkException {
        if (size >= 4 && head[0] == PACKED[0] && head[1] == PACKED[1] && head[2] == PACKED[2]
                && head[3] == PACKED[3]) {
            return ".kcz";
        }
        if (size >= 8 && head[4] == 'T' && head[5] == 'F' && head[6] == 'L' && head[7] == '3') {
            return ".tflite";
        }
        throw new BenchmarkException("A model is a .tflite or a .kcz file. Received: "
                + BenchmarkException.shown(shown) + ", which begins as neither.");
    }

    /** A provider may hand over any name: path parts, dots in front and odd letters are dropped. */
    static String safeName(String shown) {
        String name = shown == null ? "" : shown.substring(shown.lastIndexOf('/') + 1);
        name = name.replaceAll("\\.(tflite|kcz)$", "").replaceAll("[^A-Za-z0-9._ -]", "_")
                .replaceAll("^[. ]+", "");
        name = name.length() > 80 ? name.substring(0, 80) : name;
        return name.isEmpty() ? "model" : name;
    }
}
