"""tfmot's quantization-aware training guides with one changed import: whole models, chosen layers.

The file is made by TensorFlow's own converter, as in the guides.

python examples/migrate/quantization.py
"""

from __future__ import annotations

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from lit_quadrants import compiled, data, fit, trained

# Was: import tensorflow_model_optimization as tfmot
from keras_compress.compat import tfmot

quantization = tfmot.quantization.keras


def converted(model):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def show(title, model, x, y):
    accuracy = model.evaluate(x, y, verbose=0)[1]
    file = converted(model)
    interpreter = tf.lite.Interpreter(model_content=file)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    right = 0
    for image, label in zip(x, y, strict=True):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(result["index"])[0]) == label)
    print(f"{title}: a file of {len(file)} B that is right {right / len(y):.1%}")
    print(f"{title}: accuracy {accuracy:.1%}")


def whole_model(base, x, y):
    model = quantization.quantize_model(base)
    fit(compiled(model, 1e-4), x, y, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "quantized.keras")
        model.save(path)
        with quantization.quantize_scope():
            model = keras.models.load_model(path)
    show("whole model", model, x, y)


def chosen_layers(base, x, y):
    def choose(layer):
        if isinstance(layer, keras.layers.Dense):
            return quantization.quantize_annotate_layer(layer)
        return layer

    annotated = keras.models.clone_model(base, clone_function=choose)
    model = quantization.quantize_apply(annotated)
    fit(compiled(model, 1e-4), x, y, epochs=1)
    show("dense layers", model, x, y)


class FourBits(quantization.QuantizeConfig):
    """Weights of a dense layer in 4 bits."""

    def get_weights_and_quantizers(self, layer):
        quantizer = quantization.quantizers.LastValueQuantizer(
            num_bits=4, per_axis=False, symmetric=True, narrow_range=True
        )
        return [(layer.kernel, quantizer)]

    def get_activations_and_quantizers(self, layer):
        quantizer = quantization.quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )
        return [(layer.activation, quantizer)]

    def set_quantize_weights(self, layer, quantize_weights):
        layer.kernel = quantize_weights[0]

    def set_quantize_activations(self, layer, quantize_activations):
        layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {}


def own_config(base, x, y):
    def choose(layer):
        if layer.name == "hidden":
            return quantization.quantize_annotate_layer(layer, FourBits())
        return layer

    annotated = keras.models.clone_model(base, clone_function=choose)
    with quantization.quantize_scope({"FourBits": FourBits}):
        model = quantization.quantize_apply(annotated)
    fit(compiled(model, 1e-4), x, y, epochs=1)
    accuracy = model.evaluate(x, y, verbose=0)[1]
    print(f"own config: accuracy {accuracy:.1%}")


def main():
    x, y = data()
    base = trained(x, y)
    whole_model(base, x, y)
    chosen_layers(base, x, y)
    own_config(base, x, y)


if __name__ == "__main__":
    main()
