package org.kerascompress.bench.core;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;

/** Linux's own account of this process, and small files of /proc and /sys. */
public final class ProcessMemory {
    private ProcessMemory() {}

    /** Resident memory in kB, or null. */
    public static Long residentKb() {
        return field("/proc/self/status", "VmRSS");
    }

    /** Its peak since the last {@link #resetPeak}, in kB, or null. */
    public static Long peakKb() {
        return field("/proc/self/status", "VmHWM");
    }

    /** Lets the peak start anew; false where the kernel does not allow it. */
    public static boolean resetPeak() {
        try (FileOutputStream out = new FileOutputStream("/proc/self/clear_refs")) {
            out.write('5');
            return true;
        } catch (IOException error) {
            return false;
        }
    }

    public static Long field(String path, String name) {
        String text = text(path);
        if (text == null) {
            return null;
        }
        for (String line : text.split("\n")) {
            if (line.startsWith(name + ":")) {
                String[] words = line.substring(name.length() + 1).trim().split("\\s+");
                return number(words[0]);
            }
        }
        return null;
    }

    public static Long number(String text) {
        try {
            return text == null ? null : Long.valueOf(text.trim());
        } catch (NumberFormatException error) {
            return null;
        }
    }

    /** The first 64 KiB of a small file, or null. */
    public static String text(String path) {
        try (InputStream in = new FileInputStream(new File(path))) {
            byte[] bytes = new byte[65536];
            int size = 0;
            while (size < bytes.length) {
                int more = in.read(bytes, size, bytes.length - size);
                if (more < 0) {
                    break;
                }
                size += more;
            }
            String text = new String(bytes, 0, size, StandardCharsets.UTF_8);
            return text.trim().isEmpty() ? null : text;
        } catch (IOException error) {
            return null;
        }
    }
}
