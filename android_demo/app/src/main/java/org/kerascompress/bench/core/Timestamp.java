package org.kerascompress.bench.core;

import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;

/** The present in the forms that results use. */
public final class Timestamp {
    private Timestamp() {}

    public static String iso8601() {
        return format("yyyy-MM-dd'T'HH:mm:ss'Z'");
    }

    /** Sorts by time, and fits a file's name. */
    public static String runId() {
        return format("yyyyMMdd-HHmmss-SSS");
    }

    private static String format(String pattern) {
        // Digits of the root locale: a phone set to Arabic must write the same file names.
        SimpleDateFormat format = new SimpleDateFormat(pattern, Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        return format.format(new Date());
    }
}
