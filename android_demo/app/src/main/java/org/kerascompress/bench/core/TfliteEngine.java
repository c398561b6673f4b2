package org.kerascompress.bench.core;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.tensorflow.lite.Delegate;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.InterpreterApi.Options.TfLiteRuntime;
import org.tensorflow.lite.Tensor;
import org.tensorflow.lite.TensorFlowLite;

/** The TensorFlow Lite (LiteRT) runtime that is inside the app. */
public final class TfliteEngine implements Engine {
    private static final String GPU_DELEGATE = "org.tensorflow.lite.gpu.GpuDelegate";

    private final Interpreter interpreter;
    private final Delegate delegate;
    private final String name;
    private Object[] inputs;

    private TfliteEngine(Interpreter interpreter, Delegate delegate, String name) {
        this.interpreter = interpreter;
        this.delegate = delegate;
        this.name = name;
    }

    /** Opens models with the runtime in the app. */
    public static final class Opener implements Factory {
        public Opener() {
            TensorFlowLite.init();
        }

        @Override
        public String name() {
            return "TensorFlow Lite";
        }

        @Override
        public String version() {
            return TensorFlowLite.runtimeVersion(TfLiteRuntime.FROM_APPLICATION_ONLY);
        }

        @Override
        public String refusal(String delegate) {
            if (delegate.equals("gpu")) {
                try {
                    Class.forName(GPU_DELEGATE);
                    return null;
                } catch (ClassNotFoundException | LinkageError error) {
                    return "this build of the app has no GPU delegate (the one that Gradle makes has)";
                }
            }
            if (delegate.equals("binary") && !KczDecoder.hasBinaryDelegate()) {
                return "this build of the app has no delegate for binary layers";
            }
            return null;
        }

        @Override
        public Engine open(ByteBuffer model, String name, int threads, String asked)
                throws BenchmarkException {
            Delegate delegate = null;
            try {
                delegate = make(asked);
                Interpreter.Options options = new Interpreter.Options().setNumThreads(threads)
                        .setUseXNNPACK(!asked.equals("none"));
                if (delegate != null) {
                    options.addDelegate(delegate);
                }
                model.rewind();
                Interpreter interpreter = new Interpreter(model, options);
                try {
                    interpreter.allocateTensors();
                } catch (RuntimeException | Error error) {
                    interpreter.close();
                    throw error;
                }
                return new TfliteEngine(interpreter, delegate, name);
            } catch (RuntimeException | LinkageError | OutOfMemoryError error) {
                if (delegate != null) {
                    delegate.close();
                }
                throw refused(name, error);
            }
        }

        private static Delegate make(String asked) throws BenchmarkException {
            if (asked.equals("gpu")) {
                try {
                    return (Delegate) Class.forName(GPU_DELEGATE).getConstructor().newInstance();
                } catch (ReflectiveOperationException error) {
                    throw new BenchmarkException("The GPU delegate can't be made on this device: "
                            + BenchmarkException.oneLine(String.valueOf(error.getCause())), error);
                }
            }
            return asked.equals("binary") ? new BinaryDelegate() : null;
        }
    }

    /** The delegate for binary layers, from the same native library as the decoder. */
    private static final class BinaryDelegate implements Delegate {
        private long handle;

        BinaryDelegate() throws BenchmarkException {
            handle = KczDecoder.createBinaryDelegate();
            if (handle == 0) {
                throw new BenchmarkException("The delegate for binary layers can't be made.");
            }
        }

        @Override
        public long getNativeHandle() {
            return handle;
        }

        @Override
        public void close() {
            KczDecoder.deleteBinaryDelegate(handle);
            handle = 0;
        }
    }

    @Override
    public TensorForm[] inputs() {
        TensorForm[] forms = new TensorForm[interpreter.getInputTensorCount()];
        for (int i = 0; i < forms.length; i++) {
            forms[i] = form(interpreter.getInputTensor(i));
        }
        return forms;
    }

    @Override
    public TensorForm[] outputs() {
        TensorForm[] forms = new TensorForm[interpreter.getOutputTensorCount()];
        for (int i = 0; i < forms.length; i++) {
            forms[i] = form(interpreter.getOutputTensor(i));
        }
        return forms;
    }

    private static TensorForm form(Tensor tensor) {
        Tensor.QuantizationParams params = tensor.quantizationParams();
        return new TensorForm(tensor.name(), tensor.dataType().name(), tensor.shape(),
                tensor.numBytes(), params.getScale(), params.getZeroPoint());
    }

    @Override
    public void setInputs(ByteBuffer[] buffers) {
        inputs = buffers.clone();
    }

    @Override
    public long run() throws BenchmarkException {
        for (Object input : inputs) {
            ((ByteBuffer) input).rewind();
        }
        // No output is fetched: its size may be known only afterwards, and it isn't timed anyway.
        invoke(inputs, new HashMap<Integer, Object>());
        return interpreter.getLastNativeInferenceDurationNanoseconds();
    }

    @Override
    public void run(ByteBuffer input, ByteBuffer output) throws BenchmarkException {
        input.rewind();
        output.rewind();
        Map<Integer, Object> outputs = new HashMap<>();
        outputs.put(0, output);
        invoke(new Object[] {input}, outputs);
        output.rewind();
    }

    private void invoke(Object[] from, Map<Integer, Object> into) throws BenchmarkException {
        try {
            interpreter.runForMultipleInputsOutputs(from, into);
        } catch (RuntimeException | OutOfMemoryError error) {
            throw refused(name, error);
        }
    }

    private static BenchmarkException refused(String name, Throwable error) {
        String words = BenchmarkException.oneLine(error.getMessage());
        // What the runtime says when its own allocation has failed.
        String hint = words.contains("hasn't been allocated")
                ? " There is not enough memory for its tensors." : "";
        return new BenchmarkException("The runtime can't run " + name + ": " + words + hint, error);
    }

    /**
     * The runtime counts the nodes of its plan but keeps the number to its own package; where it
     * isn't found under its present name, it is not told.
     */
    @Override
    public int nodesAsRun() {
        try {
            for (Class<?> type = interpreter.getClass(); type != null; type = type.getSuperclass()) {
                for (Field field : type.getDeclaredFields()) {
                    if (field.getType().getSimpleName().startsWith("NativeInterpreterWrapper")) {
                        field.setAccessible(true);
                        Object wrapper = field.get(interpreter);
                        Class<?> declaring = field.getType();
                        while (declaring != null && wrapper != null) {
                            for (Method method : declaring.getDeclaredMethods()) {
                                if (method.getName().equals("getExecutionPlanLength")
                                        && method.getParameterTypes().length == 0) {
                                    method.setAccessible(true);
                                    return (Integer) method.invoke(wrapper);
                                }
                            }
                            declaring = declaring.getSuperclass();
                        }
                    }
                }
            }
        } catch (ReflectiveOperationException | RuntimeException error) {
            return -1;
        }
        return -1;
    }

    @Override
    public void close() {
        interpreter.close();
        if (delegate != null) {
            delegate.close();
        }
    }
}
