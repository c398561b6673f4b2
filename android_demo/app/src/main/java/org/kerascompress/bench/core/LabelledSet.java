package org.kerascompress.bench.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * Labelled images that came with the app: a model whose input and output fit gets its top-1, and
 * its scores are kept to be held against the baseline's.
 */
final class LabelledSet {
    private final String source;
    private final int[] shape;
    private final int classes;
    private final double maximum;
    private final byte[] pixels;
    private final int[] labels;

    private LabelledSet(JSONObject facts, byte[] pixels) throws JSONException {
        source = facts.getString("source");
        classes = facts.getInt("classes");
        maximum = facts.getDouble("maximum");
        JSONArray sizes = facts.getJSONArray("shape");
        shape = new int[sizes.length()];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = sizes.getInt(i);
        }
        JSONArray given = facts.getJSONArray("labels");
        labels = new int[given.length()];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = given.getInt(i);
        }
        this.pixels = pixels;
    }

    static LabelledSet load(ModelPlaces places) throws BenchmarkException {
        try {
            String facts = new String(places.asset("digits.json"), StandardCharsets.UTF_8);
            return new LabelledSet(new JSONObject(facts), places.asset("digits.bin"));
        } catch (JSONException error) {
            throw new BenchmarkException("The app's own labelled set is damaged. Reinstall the app.",
                    error);
        }
    }

    boolean fits(Engine.TensorForm[] inputs, Engine.TensorForm[] outputs) {
        if (inputs.length != 1 || outputs.length != 1 || !number(inputs[0].type)
                || !number(outputs[0].type) || inputs[0].shape.length != shape.length + 1) {
            return false;
        }
        for (int i = 0; i < shape.length; i++) {
            if (inputs[0].shape[i + 1] != shape[i]) {
                return false;
            }
        }
        int[] out = outputs[0].shape;
        return inputs[0].shape[0] == 1 && out.length == 2 && out[0] == 1 && out[1] == classes;
    }

    private static boolean number(String type) {
        return type.equals("FLOAT32") || type.equals("INT8") || type.equals("UINT8");
    }

    /** Scores of every image, dequantized: images times classes. */
    float[] scores(Engine engine) throws BenchmarkException {
        Engine.TensorForm in = engine.inputs()[0];
        Engine.TensorForm out = engine.outputs()[0];
        int size = pixels.length / labels.length;
        ByteBuffer input = ByteBuffer.allocateDirect(in.bytes).order(ByteOrder.nativeOrder());
        ByteBuffer output = ByteBuffer.allocateDirect(out.bytes).order(ByteOrder.nativeOrder());
        float[] scores = new float[labels.length * classes];
        for (int image = 0; image < labels.length; image++) {
            input.clear();
            for (int i = 0; i < size; i++) {
                double value = (pixels[image * size + i] & 0xff) / maximum;
                put(input, in, value);
            }
            engine.run(input, output);
            for (int c = 0; c < classes; c++) {
                scores[image * classes + c] = get(output, out, c);
            }
        }
        return scores;
    }

    private static void put(ByteBuffer into, Engine.TensorForm form, double value) {
        if (form.type.equals("FLOAT32")) {
            into.putFloat((float) value);
            return;
        }
        boolean signed = form.type.equals("INT8");
        double scale = form.scale == 0 ? 1 : form.scale;
        long whole = Math.round(value / scale) + form.zeroPoint;
        into.put((byte) Math.max(signed ? -128 : 0, Math.min(signed ? 127 : 255, whole)));
    }

    private static float get(ByteBuffer from, Engine.TensorForm form, int index) {
        if (form.type.equals("FLOAT32")) {
            return from.getFloat(4 * index);
        }
        int raw = form.type.equals("INT8") ? from.get(index) : from.get(index) & 0xff;
        return form.scale == 0 ? raw : (raw - form.zeroPoint) * form.scale;
    }

    /** The `accuracy` entry: top-1 and, if there is a baseline, how far the scores are from its. */
    JSONObject describe(float[] scores, float[] baseline) throws JSONException {
        int right = 0;
        int same = 0;
        double largest = 0;
        for (int image = 0; image < labels.length; image++) {
            int own = best(scores, image);
            right += own == labels[image] ? 1 : 0;
            if (baseline != null) {
                same += own == best(baseline, image) ? 1 : 0;
                for (int c = 0; c < classes; c++) {
                    int at = image * classes + c;
                    largest = Math.max(largest, Math.abs(scores[at] - baseline[at]));
                }
            }
        }
        JSONObject entry = new JSONObject().put("dataset", source).put("images", labels.length)
                .put("top1", right / (double) labels.length);
        if (baseline != null) {
            entry.put("largest_logit_difference", largest)
                    .put("same_answer_as_baseline", same / (double) labels.length);
        }
        return entry;
    }

    private int best(float[] scores, int image) {
        int best = 0;
        for (int c = 1; c < classes; c++) {
            best = scores[image * classes + c] > scores[image * classes + best] ? c : best;
        }
        return best;
    }
}
