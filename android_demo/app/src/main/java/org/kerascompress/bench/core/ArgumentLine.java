package org.kerascompress.bench.core;

import java.util.ArrayList;
import java.util.List;

/** Splits a line of arguments as a shell does: blanks part, quotes and backslashes hold together. */
public final class ArgumentLine {
    static final int LONGEST = 16 * 1024;

    private ArgumentLine() {}

    public static List<String> split(String line) throws BenchmarkException {
        List<String> words = new ArrayList<>();
        if (line == null) {
            return words;
        }
        if (line.length() > LONGEST) {
            throw new BenchmarkException("The arguments may take at most " + LONGEST
                    + " characters. Received: " + line.length() + ".");
        }
        StringBuilder word = new StringBuilder();
        boolean inside = false;
        char quote = 0;
        for (int i = 0; i < line.length(); i++) {
            char c = line.charAt(i);
            if (quote != 0) {
                if (c == quote) {
                    quote = 0;
                } else if (c == '\\' && quote == '"' && i + 1 < line.length()) {
                    word.append(line.charAt(++i));
                } else {
                    word.append(c);
                }
            } else if (c == '"' || c == '\'') {
                quote = c;
                inside = true;
            } else if (c == '\\' && i + 1 < line.length()) {
                word.append(line.charAt(++i));
                inside = true;
            } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
                if (inside) {
                    words.add(word.toString());
                }
                word.setLength(0);
                inside = false;
            } else {
                word.append(c);
                inside = true;
            }
        }
        if (quote != 0) {
            throw new BenchmarkException("A quote in the arguments must be closed. Received: "
                    + BenchmarkException.shown(line) + ".");
        }
        if (inside) {
            words.add(word.toString());
        }
        // Scripts written for Google's app quote the whole line twice: split what is inside.
        boolean quotedTwice = words.size() == 1 && words.get(0).startsWith("--")
                && words.get(0).contains(" --") && line.trim().startsWith("\"");
        if (quotedTwice) {
            return split(words.get(0));
        }
        return words;
    }

    /** The opposite: a line that {@link #split} gives back as `words`. */
    public static String join(List<String> words) {
        StringBuilder line = new StringBuilder();
        for (String word : words) {
            line.append(line.length() > 0 ? " " : "").append('"')
                    .append(word.replace("\\", "\\\\").replace("\"", "\\\"")).append('"');
        }
        return line.toString();
    }
}
