package org.kerascompress.bench.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Looks a `.tflite` over before the runtime, which trusts it, gets it.
 *
 * <p>Every offset is held against the file, every index against its table, and the memory that the
 * tensors will take against what there is: a damaged or hostile file ends in a sentence, not in a
 * crash. It reads the few fields of TensorFlow Lite's schema that these checks need.
 */
public final class TfliteFile {
    private static final int SMALLEST = 16;
    private static final int MOST_ENTRIES = 1 << 20;
    private static final int CUSTOM = 32;
    // Bytes of one element by TensorType; 0 where it depends (strings, resources, four bits).
    private static final int[] WIDTHS =
            {4, 2, 4, 1, 8, 0, 1, 2, 8, 1, 8, 16, 8, 0, 0, 4, 2, 0, 2};

    private final ByteBuffer file;
    private final String name;
    /** Operators of the first subgraph, the one that runs. */
    public final int operators;
    /** Names of custom operators, which the runtime alone does not have. */
    public final List<String> customOperators = new ArrayList<>();
    /** Bytes that the tensors of the largest operator take together: no run takes less. */
    public final long leastMemory;
    /** Whether some shape is known only when the model runs. */
    public final boolean dynamic;

    public TfliteFile(ByteBuffer bytes, String name, long memoryLimit) throws BenchmarkException {
        file = bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.name = name;
        int size = file.capacity();
        if (size < SMALLEST) {
            throw bad("has at least " + SMALLEST + " bytes", size + " bytes; it was probably cut short");
        }
        if (file.get(4) != 'T' || file.get(5) != 'F' || file.get(6) != 'L' || file.get(7) != '3') {
            throw bad("carries the identifier TFL3 at byte 4",
                    "something else there; it is some other kind of file");
        }
        int model = follow(0);
        readOperatorCodes(model);
        List<Integer> graphs = tables(model, 2, "subgraphs");
        if (graphs.isEmpty()) {
            throw bad("has a graph", "none");
        }
        List<Integer> buffers = tables(model, 4, "buffers");
        long most = 0;
        int count = 0;
        boolean unknown = false;
        for (int g = 0; g < graphs.size(); g++) {
            Graph graph = new Graph(graphs.get(g), buffers);
            most = Math.max(most, graph.largest);
            unknown |= graph.dynamic;
            count = g == 0 ? graph.operators : count;
        }
        operators = count;
        leastMemory = most;
        dynamic = unknown;
        if (leastMemory > memoryLimit) {
            throw new BenchmarkException("The tensors of one operation may take at most "
                    + memoryLimit + " bytes (what this device has free). Received: " + name
                    + ", whose largest takes " + leastMemory + ".");
        }
    }

    private void readOperatorCodes(int model) throws BenchmarkException {
        for (int code : tables(model, 1, "operator codes")) {
            int old = field(code, 0);
            int wide = field(code, 3);
            int builtin = Math.max(old == 0 ? 0 : at(old, 1).get(old), wide == 0 ? 0 : integer(wide));
            if (builtin == CUSTOM) {
                int custom = field(code, 1);
                customOperators.add(custom == 0 ? "?" : string(follow(custom)));
            }
        }
    }

    /** One subgraph, checked. */
    private final class Graph {
        final int operators;
        final long largest;
        boolean dynamic;

        Graph(int table, List<Integer> buffers) throws BenchmarkException {
            List<Integer> tensors = tables(table, 0, "tensors");
            long[] bytes = new long[tensors.size()];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = tensor(tensors.get(i), buffers);
            }
            indices(table, 1, bytes.length, false);
            indices(table, 2, bytes.length, false);
            List<Integer> nodes = tables(table, 3, "operators");
            long most = 0;
            for (int node : nodes) {
                long sum = 0;
                for (int slot = 1; slot <= 2; slot++) {
                    for (int index : indices(node, slot, bytes.length, true)) {
                        sum = index < 0 ? sum : add(sum, bytes[index]);
                    }
                }
                most = Math.max(most, sum);
            }
            operators = nodes.size();
            largest = most;
        }

        /** Bytes that this tensor takes when it runs; what lies in the file is checked for size. */
        private long tensor(int table, List<Integer> buffers) throws BenchmarkException {
            int typeField = field(table, 1);
            int type = typeField == 0 ? 0 : at(typeField, 1).get(typeField);
            int width = type >= 0 && type < WIDTHS.length ? WIDTHS[type] : 0;
            long elements = 1;
            int shape = field(table, 0);
            if (shape != 0) {
                int vector = follow(shape);
                int rank = length(vector, 4, "dimensions");
                for (int d = 0; d < rank; d++) {
                    int size = file.getInt(vector + 4 + 4 * d);
                    if (size < 0) {
                        dynamic = true;
                        size = 1;
                    }
                    elements = multiply(elements, size);
                }
            }
            int signature = field(table, 7);
            if (signature != 0) {
                int vector = follow(signature);
                int rank = length(vector, 4, "dimensions");
                for (int d = 0; d < rank; d++) {
                    dynamic |= file.getInt(vector + 4 + 4 * d) < 0;
                }
            }
            int bufferField = field(table, 2);
            int buffer = bufferField == 0 ? 0 : integer(bufferField);
            if (buffer < 0 || buffer >= Math.max(buffers.size(), 1)) {
                throw bad("refers to its own " + buffers.size() + " buffers", "buffer " + buffer);
            }
            long inFile = 0;
            int data = buffers.isEmpty() ? 0 : field(buffers.get(buffer), 0);
            if (data != 0) {
                inFile = length(follow(data), 1, "bytes of a buffer");
            }
            long bytes = multiply(elements, width);
            boolean sparse = field(table, 6) != 0;
            if (inFile > 0 && width > 0 && !sparse && inFile < bytes) {
                throw bad("holds the values of its constants in full",
                        inFile + " bytes where a shape needs " + bytes);
            }
            return inFile > 0 ? 0 : bytes;
        }
    }

    private static long multiply(long a, long b) {
        return b != 0 && a > Long.MAX_VALUE / 4 / b ? Long.MAX_VALUE / 4 : a * b;
    }

    private static long add(long a, long b) {
        return Math.min(a + b, Long.MAX_VALUE / 4);
    }

    private int[] indices(int table, int slot, int count, boolean optional)
            throws BenchmarkException {
        int place = field(table, slot);
        if (place == 0) {
            return new int[0];
        }
        int vector = follow(place);
        int[] found = new int[length(vector, 4, "tensor numbers")];
        for (int i = 0; i < found.length; i++) {
            found[i] = file.getInt(vector + 4 + 4 * i);
            if (found[i] >= count || found[i] < (optional ? -1 : 0)) {
                throw bad("refers to its own " + count + " tensors", "tensor " + found[i]);
            }
        }
        return found;
    }

    private List<Integer> tables(int table, int slot, String what) throws BenchmarkException {
        List<Integer> found = new ArrayList<>();
        int place = field(table, slot);
        if (place == 0) {
            return found;
        }
        int vector = follow(place);
        int count = length(vector, 4, what);
        if (count > MOST_ENTRIES) {
            throw bad("has at most " + MOST_ENTRIES + " " + what, String.valueOf(count));
        }
        for (int i = 0; i < count; i++) {
            found.add(follow(vector + 4 + 4 * i));
        }
        return found;
    }

    /** Where the field of a table lies, 0 if it has its default. */
    private int field(int table, int slot) throws BenchmarkException {
        long vtable = (long) table - integer(table);
        if (vtable < 0 || vtable + 4 > file.capacity()) {
            throw damaged();
        }
        int bytes = file.getShort((int) vtable) & 0xffff;
        if (bytes < 4 || vtable + bytes > file.capacity()) {
            throw damaged();
        }
        if (4 + 2 * slot + 2 > bytes) {
            return 0;
        }
        int offset = file.getShort((int) vtable + 4 + 2 * slot) & 0xffff;
        if (offset == 0) {
            return 0;
        }
        at(table, offset + 1);
        return table + offset;
    }

    private int follow(int place) throws BenchmarkException {
        long offset = integer(place) & 0xffffffffL;
        long target = place + offset;
        if (offset == 0 || target + 4 > file.capacity()) {
            throw damaged();
        }
        return (int) target;
    }

    private int length(int vector, int width, String what) throws BenchmarkException {
        long count = integer(vector) & 0xffffffffL;
        if (vector + 4 + count * width > file.capacity()) {
            throw bad("holds all of its parts", count + " " + what + ", which don't fit in it");
        }
        return (int) count;
    }

    private String string(int place) throws BenchmarkException {
        int size = Math.min(length(place, 1, "characters"), 200);
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = file.get(place + 4 + i);
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private int integer(int place) throws BenchmarkException {
        return at(place, 4).getInt(place);
    }

    private ByteBuffer at(int place, int bytes) throws BenchmarkException {
        if (place < 0 || (long) place + bytes > file.capacity()) {
            throw damaged();
        }
        return file;
    }

    private BenchmarkException damaged() {
        return bad("points to places inside the file", "a place outside it; it is damaged");
    }

    private BenchmarkException bad(String rule, String received) {
        return new BenchmarkException("A TFLite model " + rule + ". Received: " + name + " with "
                + received + ".");
    }
}
