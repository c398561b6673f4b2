"""Writes fixtures.zip: files of Keras 2, each with inputs and what the original computes.

Run once, where tf_keras, larq and tensorflow-model-optimization are installed; the tests read
what it wrote:

    TF_USE_LEGACY_KERAS=1 python tests/loading/make_fixtures.py
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import larq
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

layers = keras.layers
ARCHIVE = Path(__file__).parent / "fixtures.zip"


def image_net() -> keras.Model:
    """Every layer whose arguments Keras 3 changed, TensorFlow functions, slashes in names."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Rescaling(1 / 255.0)(image)
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem/conv")(x)
    x = layers.BatchNormalization(name="stem/norm")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.LeakyReLU(0.1)(x)
    x = layers.SeparableConv2D(4, 3)(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    y = layers.Conv2DTranspose(4, 3, padding="same")(x)
    y = tf.nn.relu6(x + y * 0.5) - 0.25 * y
    x = tf.concat([x, y], axis=-1)[:, 1:, :, :]
    x = x * tf.reduce_mean(x, axis=[1, 2], keepdims=True)
    x = layers.ThresholdedReLU(0.01, name="multiply")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


def shared_net() -> keras.Model:
    """A shared layer, a submodel called twice, a frozen layer, inputs and outputs by name."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense, frozen = layers.Dense(6, name="shared"), layers.Dense(3, name="frozen")
    frozen.trainable = False
    inner = keras.Input((6,))
    norm = layers.BatchNormalization(name="norm")
    sub = keras.Model(inner, [layers.Dense(2, name="two")(inner), norm(inner)], name="sub")
    (p1, _), (p2, q2) = sub(dense(a)), sub(dense(b))
    outputs = {"u": frozen(layers.Concatenate()([p1, q2])), "v": layers.Add(name="sum")([p2, p1])}
    return keras.Model({"a": a, "b": b}, outputs)


def attention_net() -> keras.Model:
    tokens = keras.Input((6,), name="tokens")
    x = layers.Embedding(20, 8)(tokens)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    x = layers.RNN([layers.LSTMCell(3), layers.LSTMCell(4)], return_sequences=True)(x)
    x = layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    x = layers.TimeDistributed(layers.Dense(3))(x)
    return keras.Model(tokens, layers.GRU(4)(x))


def table_net() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).uniform(3, 9, (20, 3)).astype("float32"))
    regularized = layers.Dense(2, kernel_regularizer="l2", kernel_constraint="max_norm")
    return keras.Sequential([keras.Input((3,)), normalization, regularized, layers.ELU()])


def binary_net() -> keras.Model:
    quant = larq.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            quant.QuantConv2D(4, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"),
            layers.BatchNormalization(scale=False),
            quant.QuantConv2D(
                8,
                3,
                input_quantizer="ste_sign",
                kernel_quantizer="magnitude_aware_sign",
                kernel_constraint="weight_clip",
                pad_values=1.0,
                padding="same",
                use_bias=False,
            ),
            quant.QuantDepthwiseConv2D(
                3, input_quantizer="approx_sign", depthwise_quantizer="ste_sign"
            ),
            layers.Flatten(),
            quant.QuantDense(3, input_quantizer="dorefa_quantizer", kernel_quantizer="ste_tern"),
        ]
    )


def pruned_net() -> keras.Model:
    net = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)]
    )
    return tfmot.sparsity.keras.prune_low_magnitude(net)


def lambda_net() -> keras.Model:
    net = [keras.Input((3,)), layers.Lambda(lambda x: x * 2), layers.Dense(2)]
    return keras.Sequential(net)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.dense(x)


def shake(model: keras.Model) -> None:
    generator = np.random.default_rng(1)
    for variable in model.variables:
        if variable.dtype.is_floating and "threshold" not in variable.name:
            variable.assign(tf.abs(generator.uniform(0.1, 0.9, variable.shape) - 0.3 * variable))


def inputs_of(model: keras.Model) -> list[np.ndarray]:
    generator = np.random.default_rng(2)
    tensors = tf.nest.flatten(model.inputs)
    if tensors[0].name.startswith("tokens"):
        return [generator.integers(0, 20, (3, 6)).astype("float32")]
    high = 255 if tensors[0].name.startswith("image") else 1
    return [generator.uniform(0, high, (3, *t.shape[1:])).astype("float32") for t in tensors]


def main(folder: Path) -> None:
    kept = {}
    forms = {
        "image": (image_net, (".h5", ".keras")),
        "shared": (shared_net, (".h5", "")),
        "attention": (attention_net, (".h5", ".keras")),
        "table": (table_net, (".h5", ".keras", "")),
        "binary": (binary_net, (".h5", ".keras")),
        "pruned": (pruned_net, (".h5", ".keras")),
        "lambda": (lambda_net, (".h5",)),
    }
    for name, (make, suffixes) in forms.items():
        model = make()
        if name != "table":
            shake(model)
        inputs = inputs_of(model)
        given = tf.nest.pack_sequence_as(model.input, inputs) if name == "shared" else inputs[0]
        outputs = [np.asarray(each) for each in tf.nest.flatten(model(given))]
        for place, array in enumerate(inputs):
            kept[f"{name}/in/{place}"] = array
        for place, array in enumerate(outputs):
            kept[f"{name}/out/{place}"] = array
        for suffix in suffixes:
            options = {} if suffix == ".keras" else {"include_optimizer": False}
            model.save(folder / (name + suffix), **options)
    subclassed = Subclassed()
    subclassed(tf.zeros((1, 3)))
    subclassed.save(folder / "subclassed", include_optimizer=False)
    image_net().save_weights(folder / "image_weights.h5")
    np.savez_compressed(folder / "outputs.npz", **kept)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        main(Path(work))
        with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_LZMA) as archive:
            for path in sorted(Path(work).rglob("*")):
                archive.write(path, path.relative_to(work))
