"""What tfmot's users count on in `tfmot.quantization`, beyond names and arguments."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_compress import quantization
from keras_compress.compat import tfmot
from tests.training import compiled, data, fit, outputs

layers, face = keras.layers, tfmot.quantization.keras
GOLDEN = json.loads((Path(__file__).parent / "tfmot_quantizers.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
def test_quantizers_have_tfmots_numbers(case):
    kind = getattr(face.quantizers, case["kind"])
    quantizer = kind(**case["arguments"])
    assert type(quantizer).from_config(quantizer.get_config()) == quantizer
    layer = layers.Layer()
    state = quantizer.build((37, 5), "kernel", layer)
    generator = np.random.default_rng(0)
    for number, theirs in enumerate(case["sums"]):
        values = generator.normal(0.3, 1 + number, (37, 5)).astype("float32")
        got = np.asarray(
            keras.ops.convert_to_numpy(
                quantizer(keras.ops.convert_to_tensor(values), number < 2, weights=state)
            )
        )
        weights = np.arange(185, dtype="float32").reshape(37, 5)
        assert float((got * weights).sum()) == pytest.approx(theirs, rel=2e-4)
        assert np.unique(got[:, 0]).size <= 2 ** case["arguments"]["num_bits"]


def net() -> keras.Model:
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Flatten(name="flat")(x)
    return keras.Model(inputs, layers.Dense(4, name="logits")(x))


def quantized_names(model) -> set[str]:
    return {layer.name for layer in model.layers if isinstance(layer, quantization.Quantized)}


@pytest.fixture(scope="module")
def base() -> keras.Model:
    model = compiled(net)
    fit(model, 1)
    return model


def test_names_begin_with_the_prefix(base):
    assert quantized_names(face.quantize_model(base)) == {"quant_conv", "quant_logits"}
    assert quantized_names(face.quantize_model(base, None)) == {"conv", "logits"}


def test_the_original_stays_and_the_copy_learns(base):
    x, _ = data()
    before = outputs(base, x).copy()
    model = face.quantize_model(base)
    assert not model.compiled  # "requires a recompile"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    history = fit(model, 3).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_array_equal(outputs(base, x), before)


def test_only_annotated_layers_are_quantized(base):
    def choose(layer):
        if isinstance(layer, layers.Dense):
            return face.quantize_annotate_layer(layer)
        return layer

    model = face.quantize_apply(keras.models.clone_model(base, clone_function=choose))
    assert quantized_names(model) == {"quant_logits"}


def test_a_registry_of_ones_own_is_asked(base):
    class Registry(face.QuantizeRegistry):
        def get_quantize_config(self, layer):
            return face.default_8bit.Default8BitQuantizeRegistry().get_quantize_config(layer)

    class Scheme(face.default_8bit.Default8BitQuantizeScheme):
        def get_quantize_registry(self):
            return Registry()

    def choose(layer):
        chosen = isinstance(layer, layers.Dense)
        return face.quantize_annotate_layer(layer) if chosen else layer

    annotated = keras.models.clone_model(base, clone_function=choose)
    model = face.quantize_apply(annotated, Scheme())
    assert isinstance(model.get_layer("quant_logits"), face.QuantizeWrapperV2)
    x, _ = data()
    fit_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", fit_loss)
    fit(model, 1)
    assert np.isfinite(outputs(model, x)).all()
    ends = {
        w.name.split("/")[-1]: float(keras.ops.convert_to_numpy(w))
        for w in model.get_layer("quant_logits").weights
        if len(w.shape) == 0
    }
    # Ranges of an activation within the layer have moved with the data.
    assert ends.get("post_activation_max") not in (None, 6.0, 0.0), ends
    assert ends["post_activation_min"] not in (-6.0, 0.0)


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda: face.quantize_model(None), ValueError, "functional"),
        (lambda: face.quantize_model(layers.Dense(3)), ValueError, "functional"),
        (lambda: face.quantize_annotate_model(layers.Dense(3)), ValueError, "functional"),
        (lambda: face.quantize_annotate_layer(net()), ValueError, "no model"),
        (lambda: face.quantize_annotate_layer(None), ValueError, "no model"),
        (lambda: face.quantize_annotate_layer(layers.Dense(3), 7), ValueError, "QuantizeConfig"),
        (lambda: face.quantize_apply(net()), ValueError, "at least one layer annotated"),
        (lambda: face.quantize_model(recurrent()), RuntimeError, "LSTM"),
        (lambda: face.quantize_model(nested()), ValueError, "inside another"),
        (lambda: face.fix_input_output_range(net()), ValueError, "already quantized"),
    ],
)
def test_refused_as_in_tfmot(call, kind, match):
    with pytest.raises(kind, match=match) as caught:
        call()
    assert "Received" in str(caught.value)


def recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((4, 3)), layers.LSTM(2), layers.Dense(2)])


def nested() -> keras.Model:
    body = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    return keras.Sequential([keras.Input((4,)), body, layers.Dense(2)])


def test_fixed_and_removed_ranges(base):
    model = face.quantize_model(base)
    name = f"{model.inputs[0].name}_range"
    fixed = quantization.ranges(face.fix_input_output_range(model, input_max=2.0))
    assert fixed[name] == pytest.approx((0.0, 2.0), rel=1e-3)
    assert fixed["logits_range"] == pytest.approx((0.0, 1.0), rel=1e-3)
    assert name not in quantization.ranges(face.remove_input_range(model))
