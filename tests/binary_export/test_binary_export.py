"""Binary layers exported as custom operators, beside Keras and beside the fallback."""

import json
import struct

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")
from keras import layers  # noqa: E402

import keras_compress  # noqa: E402
from keras_compress import exporter, tflite  # noqa: E402
from keras_compress.binary import (  # noqa: E402
    BinaryConv2D,
    BinaryDense,
    BinaryDepthwiseConv2D,
)
from keras_compress.cli.main import main  # noqa: E402
from keras_compress.errors import KerasCompressError  # noqa: E402
from keras_compress.tflite import load_runtime  # noqa: E402
from keras_compress.tflite import runtime as runtime_module  # noqa: E402
from keras_compress.tflite.custom_operators import binary_kernels  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

MAGIC = struct.pack("<i", 0x3142434B)


def inputs_of(shape, count=4, seed=0):
    # Far enough from zero that rounding flips no sign.
    x = np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)
    return np.where(np.abs(x) < 0.01, np.float32(0.5), x)


def with_statistics(model):
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [rng.random(n) + 0.5, rng.normal(size=n), rng.normal(size=n), rng.random(n) + 0.5]
            )
    return model


def relative_error(exported):
    return max(output.relative_error for output in exported.verification.outputs)


def model_of(layer, shape, *, batch_norm=True):
    given = keras.Input(shape)
    x = layer(given)
    if batch_norm:
        x = layers.BatchNormalization()(x)
    return with_statistics(keras.Model(given, x))


@pytest.fixture(scope="module")
def small_net():
    keras.utils.set_random_seed(0)
    given = keras.Input((12, 12, 3))
    x = layers.Conv2D(64, 3, padding="same", use_bias=False)(given)
    x = layers.BatchNormalization()(x)
    y = layers.BatchNormalization()(BinaryConv2D(64, 3, padding="same", use_bias=False)(x))
    x = layers.Add()([x, y])
    x = BinaryConv2D(96, 3, padding="same", pad_values=1, strides=2)(x)
    x = layers.BatchNormalization()(x)
    x = BinaryConv2D(40, 1)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(10)(BinaryDense(32)(x))
    return with_statistics(keras.Model(given, x))


@pytest.fixture(scope="module")
def exported(small_net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("binary")
    return exporter.export(small_net, folder, samples=inputs_of((12, 12, 3))), folder


@pytest.mark.parametrize(
    "layer, shape",
    [
        (lambda: BinaryConv2D(24, 3, padding="same"), (9, 7, 64)),
        (lambda: BinaryConv2D(37, 5, padding="same", strides=2), (11, 9, 70)),
        (lambda: BinaryConv2D(16, 3, padding="same", pad_values=1), (6, 6, 33)),
        (lambda: BinaryConv2D(16, 3, dilation_rate=2), (9, 9, 96)),
        (lambda: BinaryConv2D(40, 1, activation="relu"), (5, 5, 128)),
        (lambda: BinaryConv2D(32, 3, padding="same", groups=4), (6, 6, 64)),
        (lambda: BinaryConv2D(32, 3, padding="same", input_scale=True), (6, 6, 64)),
        (lambda: BinaryDepthwiseConv2D(3, padding="same"), (8, 8, 40)),
        (lambda: BinaryDepthwiseConv2D(3, strides=2, depth_multiplier=2), (9, 9, 24)),
        (lambda: BinaryDense(50), (100,)),
    ],
)
def test_a_layer_computes_what_keras_does(layer, shape):
    keras.utils.set_random_seed(1)
    model = model_of(layer(), shape)
    result = exporter.convert(model, samples=inputs_of(shape))
    assert len(result.binary.layers) == 1
    assert relative_error(result) <= 1e-5
    assert result.binary.fallback.verification.outputs[0].relative_error <= 1e-5
    fallback = tflite.read_tflite(result.binary.fallback.tflite)
    assert not fallback.custom_operators


def test_batch_norm_scale_and_activation_are_folded():
    given = keras.Input((8, 8, 64))
    x = layers.BatchNormalization()(BinaryConv2D(64, 3, padding="same")(given))
    model = with_statistics(keras.Model(given, layers.ReLU()(x)))
    result = exporter.convert(model, samples=inputs_of((8, 8, 64)))
    operators = tflite.read_tflite(result.tflite).operators
    assert [operator.name for operator in operators] == ["CUSTOM"]
    assert relative_error(result) <= 1e-5


def test_a_net_with_residuals_and_bits_between_layers(exported):
    result, _ = exported
    assert len(result.binary.layers) == 4
    assert len(result.binary.passed_as_bits) == 1
    assert relative_error(result) <= 1e-5
    assert len(result.tflite) < len(result.binary.fallback.tflite) / 8


def test_binary_weights_take_one_bit_each():
    given = keras.Input((8, 8, 64))
    model = keras.Model(given, BinaryConv2D(128, 3, input_quantizer=None)(given))
    result = exporter.convert(model, samples=inputs_of((8, 8, 64)))
    assert result.binary.packed_weights and not result.binary.layers
    assert relative_error(result) <= 1e-5
    bits, alpha = 64 * 128 * 9 // 8, 4 * 128
    assert len(result.tflite) < bits + alpha + 3000
    assert len(keras_compress.pack(result.tflite)) < bits + alpha + 1500


def test_int8_beside_binary_layers(small_net):
    x = inputs_of((12, 12, 3), count=16)
    result = exporter.convert(small_net, precision="int8", representative_data=x)
    file = tflite.read_tflite(result.tflite)
    kinds = {file.tensor(t).dtype for op in file.operators for t in op.outputs}
    assert kinds == {"INT8", "INT32"}
    assert sum(op.name == "CUSTOM" for op in file.operators) == 4


def test_a_single_int8_layer_is_near_keras():
    keras.utils.set_random_seed(2)
    model = model_of(BinaryConv2D(64, 3, padding="same"), (8, 8, 64))
    x = inputs_of((8, 8, 64), count=8)
    x = np.where(np.abs(x) < 0.05, np.float32(0.5), x)  # no sign lost to rounding
    result = exporter.convert(model, precision="int8", representative_data=x)
    assert relative_error(result) < 0.02


def test_classes_and_instances_stay_as_they_are_while_a_model_is_exported(monkeypatch):
    model = keras.Sequential([keras.Input((8,)), BinaryDense(4), keras.layers.Dense(2)])
    before = [(type(layer), sorted(vars(layer))) for layer in model.layers]
    seen, own = [], BinaryDense.call

    def call(self, inputs, **kwargs):
        seen.append(type(self))
        return own(self, inputs, **kwargs)

    monkeypatch.setattr(BinaryDense, "call", call)
    data = exporter.convert(model, binary="never").tflite
    assert set(seen) == {BinaryDense}
    assert [(type(layer), sorted(vars(layer))) for layer in model.layers] == before
    # The kernel was binarized once: the file compares the inputs with zero, and nothing else.
    names = [operator.name for operator in tflite.read_tflite(data).operators]
    assert names.count("GREATER_EQUAL") == 1


@pytest.mark.parametrize("ending", ["tflite", "kcz"])
def test_load_interpreter_finds_the_delegate(exported, small_net, ending):
    _, folder = exported
    x = inputs_of((12, 12, 3), count=1, seed=5)
    expected = np.asarray(small_net(x))
    for threads, kernels in ((1, None), (2, None), (1, "portable")):
        interpreter = keras_compress.load_interpreter(
            folder / f"model.{ending}", threads=threads, kernels=kernels
        )
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        assert np.linalg.norm(y - expected) <= 1e-5 * np.linalg.norm(expected)


def test_a_batch_is_resized(exported, small_net):
    _, folder = exported
    x = inputs_of((12, 12, 3), count=3, seed=5)
    interpreter = keras_compress.load_interpreter(folder / "model.tflite")
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = np.asarray(small_net(x))
    assert np.linalg.norm(y - expected) <= 1e-5 * np.linalg.norm(expected)


def test_bench_uses_the_delegate(exported):
    _, folder = exported
    result = keras_compress.bench.bench(
        [folder / "model.tflite"], num_runs=10, min_secs=0.01, max_secs=5
    )
    assert result.models[0].median_ms > 0


def test_without_the_delegate_the_error_names_fallback_and_loader(exported, monkeypatch, tmp_path):
    _, folder = exported
    runtime = load_runtime()
    with pytest.raises(RuntimeError, match=r"load_interpreter.*model\.fallback\.tflite"):
        runtime.module.Interpreter(str(folder / "model.tflite")).allocate_tensors()
    monkeypatch.setattr(runtime_module, "library_path", lambda: tmp_path / "none.so")
    with pytest.raises(KerasCompressError, match=r"load_interpreter.*model\.fallback\.tflite"):
        keras_compress.load_interpreter(folder / "model.tflite")


def test_unknown_kernels_are_refused(exported):
    with pytest.raises(KerasCompressError):
        keras_compress.load_interpreter(exported[1] / "model.tflite", kernels="abacus")


@pytest.mark.parametrize("field", range(17))
@pytest.mark.parametrize("value", [0, -1, 7, 65536, 2**31 - 1, -(2**31)])
def test_hostile_attributes_are_refused(exported, tmp_path, field, value):
    data = bytearray(exported[0].tflite)
    place = data.index(MAGIC) + 4 * field
    old = struct.unpack_from("<i", data, place)[0]
    struct.pack_into("<i", data, place, value)
    path = tmp_path / "hostile.tflite"
    path.write_bytes(data)
    try:
        interpreter = keras_compress.load_interpreter(path)
    except KerasCompressError as error:
        assert "KcBinaryConv2D: " in str(error)
        return
    # What is left is another layer, but a sound one.
    assert value in (old, 0, 7, 65536, 2**31 - 1) and field > 4
    interpreter.invoke()


def test_a_model_without_binary_layers_is_converted_as_ever():
    given = keras.Input((8,))
    exported = exporter.convert(keras.Model(given, layers.Dense(4)(given)))
    assert exported.binary is None and exported.to_dict()["binary"] is None


def test_never_means_builtin_operators_alone(small_net):
    exported = exporter.convert(small_net, samples=inputs_of((12, 12, 3)), binary="never")
    assert exported.binary is None and "CUSTOM" not in exported.operators
    with pytest.raises(KerasCompressError, match='"auto" or "never"'):
        exporter.convert(small_net, binary="yes")


def test_binary_layers_too_small_for_bits_are_told_of():
    given = keras.Input((4, 4, 2))
    model = keras.Model(given, BinaryConv2D(2, 3, input_quantizer=None)(given))
    with pytest.warns(exporter.ExportWarning, match="None of the model's binary layers"):
        exported = exporter.convert(model)
    assert exported.binary is None and "None of" in exported.notes[-1]


@pytest.mark.parametrize("precision", ["float16", "dynamic"])
def test_halves_and_integer_weights_beside_binary_layers(small_net, precision):
    x = inputs_of((12, 12, 3))
    exported = exporter.convert(small_net, precision=precision, samples=x)
    assert len(exported.binary.layers) == 4
    # Both files hold the same rounded weights.
    assert exported.binary.fallback_difference <= 1e-5
    file = tflite.read_tflite(exported.tflite)
    kinds = {file.tensor(t).dtype for op in file.operators for t in op.inputs if t >= 0}
    assert ("INT8" if precision == "dynamic" else "FLOAT16") in kinds
    # Nothing quantizes activations: every result is float, or bits.
    results = {file.tensor(t).dtype for op in file.operators for t in op.outputs}
    assert results == {"FLOAT32", "INT32"}


def test_both_files_are_named_in_the_report(exported):
    _, folder = exported
    report = json.loads((folder / "report.json").read_text())
    assert report["binary"]["fallback"] == "model.fallback.tflite"
    assert report["binary"]["fallback_difference"] <= 1e-5
    assert report["binary"]["fallback_bytes"] == (folder / "model.fallback.tflite").stat().st_size
    assert "model.fallback.tflite" in report["verification"] and len(report["verification"]) == 2
    page = (folder / "report.html").read_text()
    assert "load_interpreter" in page and "model.fallback.tflite" in page


def test_the_commands_take_binary_models(exported, small_net, tmp_path, capsys):
    _, folder = exported
    small_net.save(tmp_path / "net.keras")
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "net.keras"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "model.fallback.tflite" in printed and "4 layers compute with bits" in printed
    assert main(["export", str(tmp_path / "net.keras"), "--out", str(out), "--no-binary"]) == 0
    assert "compute with bits" not in capsys.readouterr().out
    model = str(folder / "model.tflite")
    assert main(["pack", model, "-o", str(tmp_path / "x.kcz")]) == 0
    assert "load_interpreter" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "x.kcz")]) == 0
    assert "binary layers" in capsys.readouterr().out
    assert main(["bench", model, "--num-runs", "5", "--min-secs", "0.01"]) == 0
    assert f"ran on the {binary_kernels()} kernels" in " ".join(capsys.readouterr().out.split())
