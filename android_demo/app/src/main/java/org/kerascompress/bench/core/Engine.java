package org.kerascompress.bench.core;

import java.nio.ByteBuffer;

/** A runtime that holds one model, ready to run. */
public interface Engine extends AutoCloseable {
    /** Opens models; one of it for each kind of runtime. */
    interface Factory {
        /** Name and version, as results state them. */
        String name();

        String version();

        /** Why this delegate can't be used here, or null if it can. */
        String refusal(String delegate);

        /**
         * @param model a direct buffer that stays as it is until the engine is closed
         * @throws BenchmarkException if the runtime refuses the model, with its words
         */
        Engine open(ByteBuffer model, String name, int threads, String delegate)
                throws BenchmarkException;
    }

    /** Form of an input or output. */
    final class TensorForm {
        public final String name;
        /** As the runtime calls it: FLOAT32, INT8 ... */
        public final String type;
        public final int[] shape;
        public final int bytes;
        public final float scale;
        public final int zeroPoint;

        public TensorForm(String name, String type, int[] shape, int bytes, float scale,
                int zeroPoint) {
            this.name = name;
            this.type = type;
            this.shape = shape.clone();
            this.bytes = bytes;
            this.scale = scale;
            this.zeroPoint = zeroPoint;
        }
    }

    TensorForm[] inputs();

    TensorForm[] outputs();

    /** Sets the inputs once; they stay for all runs. */
    void setInputs(ByteBuffer[] inputs);

    /** Runs once and returns the nanoseconds of the inference alone. */
    long run() throws BenchmarkException;

    /** Runs once on `input` and copies the first output into `output`. */
    void run(ByteBuffer input, ByteBuffer output) throws BenchmarkException;

    /** Nodes of the graph as it runs, delegates counted as one each; -1 if not told. */
    int nodesAsRun();

    @Override
    void close();
}
