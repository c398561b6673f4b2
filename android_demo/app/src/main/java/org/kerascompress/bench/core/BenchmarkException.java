package org.kerascompress.bench.core;

/** Something handed to the app was bad; the message says the rule, what came, and the remedy. */
public final class BenchmarkException extends Exception {
    private static final long serialVersionUID = 1L;

    public BenchmarkException(String message) {
        super(message);
    }

    public BenchmarkException(String message, Throwable cause) {
        super(message, cause);
    }

    /** Text of unknown length and content, fit for one line of a message. */
    public static String shown(String text) {
        if (text == null) {
            return "nothing";
        }
        StringBuilder line = new StringBuilder("'");
        for (int i = 0; i < text.length() && line.length() < 120; i++) {
            char c = text.charAt(i);
            line.append(c < ' ' || c == 0x7f ? ' ' : c);
        }
        return line.append(text.length() > 119 ? "...'" : "'").toString();
    }

    /** A message of any length as one line. */
    public static String oneLine(String text) {
        String line = text == null ? "no reason given" : text.replaceAll("\\s+", " ").trim();
        return line.length() <= 400 ? line : line.substring(0, 400) + "...";
    }
}
