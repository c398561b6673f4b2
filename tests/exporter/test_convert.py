"""Conversion of every kind of model in every precision, beside the Keras model."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from keras_compress import exporter, tflite
from keras_compress.errors import ExportError
from tests.exporter import models

ALL_KINDS = {
    "sequential": models.plain,
    "normalized": models.normalized,
    "nested": models.nested,
    "subclassed": models.subclassed,
}

# What a precision may cost these nets, as a share of the norm of their results.
ALLOWED = {"float32": 1e-5, "float16": 2e-3, "dynamic": 2e-2, "int8": 0.12}


def run(data: bytes, **inputs):
    """Run a model by its signature with the runtime's own interface, not the exporter's."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=data).get_signature_runner("serving_default")
    return runner(**inputs)


# A net with everything in all precisions; the kinds differ in how they are traced, before those.
@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        *(("normalized", precision) for precision in sorted(ALLOWED)),
        *(("sequential", precision) for precision in ("float16", "int8")),
        *(("nested", precision) for precision in ("float32", "int8")),
        *(("subclassed", precision) for precision in ("dynamic", "int8")),
    ],
)
def test_every_kind_and_every_precision(kind, precision):
    model = ALL_KINDS[kind]()
    x = models.samples()
    exported = exporter.convert(model, precision=precision, representative_data=x)
    assert exported.precision == precision
    assert exported.verification.samples == len(x)
    for output in exported.verification.outputs:
        assert output.relative_error < ALLOWED[precision]
    file = tflite.read_tflite(exported.tflite)
    assert not file.custom_operators
    assert {file.tensor(i).shape[0] for i in file.inputs} == {1}
    assert not {"SHAPE", "STRIDED_SLICE", "PACK"} & set(exported.operators)
    edge = "INT8" if precision == "int8" else "FLOAT32"
    assert {file.tensor(i).dtype for i in file.inputs + file.outputs} == {edge}
    json.dumps(exported.to_dict(), allow_nan=False)


def test_results_are_those_of_the_keras_model():
    """The same without any of the exporter's own code in between."""
    model, x = models.normalized(), models.samples(4)
    exported = exporter.convert(model)
    wanted = model.predict(x, verbose=0)
    for i in range(4):
        (received,) = run(exported.tflite, image=x[i : i + 1]).values()
        np.testing.assert_allclose(received[0], wanted[i], rtol=1e-4, atol=1e-5)


def test_verification_sees_a_difference():
    """The error stated is the error there is: a model that changed since conversion is off."""
    from keras_compress.exporter import inputs, tracing, verification

    model, x = models.plain(), models.samples(4)
    exported = exporter.convert(model)
    file = tflite.read_tflite(exported.tflite)
    takes = inputs.describe_inputs(model)
    trace = tracing.trace_model(model, takes)
    bias = model.get_layer("scores").bias
    bias.assign(bias + np.array([3, 0, 0, 0, 0], np.float32))
    (output,) = verification.verify_outputs(model, takes, trace, exported.tflite, file, [x])
    wanted = model.predict(x, verbose=0)
    received = [run(exported.tflite, image=x[i : i + 1])["scores"][0] for i in range(4)]
    assert output.max_abs_error == pytest.approx(np.abs(wanted - received).max(), rel=1e-3)
    assert output.max_abs_error > 0.01


def test_order_of_several_results_is_the_models():
    model = models.branched()
    image, extra = models.samples(3), models.samples(3, (4,), seed=5)
    exported = exporter.convert(model, samples=[image, extra])
    file = tflite.read_tflite(exported.tflite)
    assert list(file.signatures[0].outputs) == ["zeta", "alpha"]
    assert [file.tensor(i).shape for i in file.outputs] == [(1, 7), (1, 3)]
    assert [o.name for o in exported.verification.outputs] == ["zeta", "alpha"]
    received = run(exported.tflite, image=image[:1], extra=extra[:1])
    wanted = model.predict([image[:1], extra[:1]], verbose=0)
    np.testing.assert_allclose(received["zeta"], wanted[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(received["alpha"], wanted[1], rtol=1e-4, atol=1e-5)


def test_inputs_by_name_and_as_batches():
    model = models.branched()
    image, extra = models.samples(6), models.samples(6, (4,), seed=5)
    by_name = exporter.convert(model, samples={"image": image, "extra": extra})
    batches = (((image[i : i + 2], extra[i : i + 2]), None) for i in (0, 2, 4))
    in_batches = exporter.convert(model, samples=batches)
    assert in_batches.verification.samples == 6
    assert by_name.verification.max_abs_error == in_batches.verification.max_abs_error
    quantized = exporter.convert(model, precision="int8", representative_data=[image, extra])
    assert quantized.verification.outputs[0].relative_error < 0.1


def test_int8_with_float_edges():
    x = models.samples()
    exported = exporter.convert(
        models.plain(), precision="int8", representative_data=x, io_dtype="float32"
    )
    file = tflite.read_tflite(exported.tflite)
    assert {file.tensor(i).dtype for i in file.inputs + file.outputs} == {"FLOAT32"}
    assert exported.operators[0] == "QUANTIZE" and exported.operators[-1] == "DEQUANTIZE"


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_half_precision_is_exported_as_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = models.randomized(
            keras.Sequential(
                [keras.Input(SHAPE := (8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()]
            )
        )
    finally:
        keras.config.set_dtype_policy("float32")
    exported = exporter.convert(model, samples=models.samples(4, SHAPE))
    assert exported.verification.max_abs_error < 1e-4
    file = tflite.read_tflite(exported.tflite)
    assert {t.dtype for t in file.tensors if t.dtype.startswith("FLOAT")} == {"FLOAT32"}
    assert {layer.dtype_policy.name for layer in model.layers} == {policy}
    assert model.dtype_policy.compute_dtype in ("float16", "float32")


def test_the_model_is_left_as_it_was():
    model = models.normalized()
    model.compile("sgd", "mse")
    before = [weight.numpy().copy() for weight in model.weights]
    attributes = {layer.name: set(layer.__dict__) for layer in model.layers}
    trainable = [layer.trainable for layer in model.layers]
    exporter.convert(model, fold_batch_norm=False, verify_layers=True)
    for weight, values in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), values)
    assert {layer.name: set(layer.__dict__) for layer in model.layers} == attributes
    assert [layer.trainable for layer in model.layers] == trainable
    model.fit(models.samples(4), np.zeros((4, 5)), verbose=0)


def test_layers_are_restored_when_tracing_fails():
    @keras.saving.register_keras_serializable("tests")
    class Fails(keras.layers.Layer):
        fails = False

        def call(self, x):
            if self.fails:
                raise RuntimeError("no luck")
            return x

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2), Fails()])
    model.layers[-1].fails = True
    with pytest.raises(ExportError, match=r"RuntimeError.*no luck"):
        exporter.convert(model)
    assert all("call" not in layer.__dict__ for layer in model.layers)


def test_layer_by_layer_errors_point_at_the_layers():
    exported = exporter.convert(models.plain(), samples=models.samples(2), verify_layers=True)
    found = {layer.layer: layer for layer in exported.verification.layers}
    assert {"net/first", "net/second", "net/scores"} <= set(found)
    assert all(layer.max_abs_error < 1e-4 for layer in found.values())
    quantized = exporter.convert(
        models.plain(), precision="int8", representative_data=models.samples(), verify_layers=True
    )
    errors = {layer.layer: layer.max_abs_error for layer in quantized.verification.layers}
    assert 0 < errors["net/first"] < 0.1


def test_layers_that_were_fused_away_are_named():
    exported = exporter.convert(models.normalized(), verify_layers=True)
    assert "conv" in exported.verification.unmapped_layers
    apart = exporter.convert(models.normalized(), verify_layers=True, fold_batch_norm=False)
    mapped = {layer.layer: layer.max_abs_error for layer in apart.verification.layers}
    assert mapped["conv"] < 1e-4 and mapped["depthwise"] < 1e-4


def test_layers_inside_a_loop_are_named_not_compared():
    model = models.randomized(
        keras.Sequential(
            [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(2, name="last")],
            name="loop",
        )
    )
    exported = exporter.convert(model, verify_layers=True)
    assert "loop/last" in {layer.layer for layer in exported.verification.layers}
    assert any("lstm_cell" in name for name in exported.verification.unmapped_layers)
    assert exported.verification.max_abs_error < 1e-4


def test_results_may_be_inputs_or_one_another():
    inputs = keras.Input((4,), name="image")
    flat = keras.layers.Flatten()(inputs)
    for results in ([inputs, flat], [flat, flat]):
        exported = exporter.convert(keras.Model(inputs, results))
        assert exported.verification.max_abs_error == 0
        assert len(tflite.read_tflite(exported.tflite).outputs) == 2


def test_sizes_left_open_come_from_samples_or_the_argument():
    model = models.randomized(
        keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    )
    with pytest.raises(ExportError, match="input_shape"):
        exporter.convert(model)
    given = exporter.convert(model, input_shape=(10, 9, 3))
    assert tflite.read_tflite(given.tflite).tensor(0).shape == (1, 10, 9, 3)
    sampled = exporter.convert(model, samples=models.samples(2, (7, 7, 3)))
    assert tflite.read_tflite(sampled.tflite).tensor(0).shape == (1, 7, 7, 3)


def test_sparse_tensors_stay_readable():
    model = models.share_values(models.plain(), sparsity=0.9)
    exported = exporter.convert(model, sparse=True)
    assert "DENSIFY" in exported.operators
    kernel = next(w for w in exported.preservation.weights if w.weight.endswith("scores/kernel"))
    assert kernel.zeros_before == kernel.zeros_after and kernel.sharing == "kept"


def test_embedding_takes_integers():
    model = models.randomized(
        keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                keras.layers.Embedding(20, 4),
                keras.layers.Flatten(),
                keras.layers.Dense(2),
            ]
        )
    )
    tokens = np.arange(12).reshape(2, 6)
    exported = exporter.convert(model, samples=tokens)
    assert exported.verification.max_abs_error < 1e-5


def test_progress_is_told():
    lines: list[str] = []
    exporter.convert(models.plain(), progress=lines.append)
    assert lines[0] == "Tracing the model" and any("Verifying on 16" in line for line in lines)


def test_what_is_exported_is_as_private_as_its_origin(tmp_path):
    origin = tmp_path / "model.keras"
    origin.write_bytes(b"")
    origin.chmod(0o600)
    exporter.export(models.plain(), tmp_path / "out", made_from=origin, verify=False)
    written = list((tmp_path / "out").iterdir())
    assert len(written) == 4 and {p.stat().st_mode & 0o077 for p in written} == {0}


def test_export_writes_a_folder(tmp_path):
    from keras_compress import report
    from keras_compress.packing import unpack

    exported = exporter.export(models.plain(), tmp_path / "out", samples=models.samples(4))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["model.kcz", "model.tflite", "report.html", "report.json"]
    assert (tmp_path / "out/model.tflite").read_bytes() == exported.tflite
    assert unpack((tmp_path / "out/model.kcz").read_bytes()) == exported.tflite
    read = report.parse((tmp_path / "out/report.json").read_bytes(), origin="report.json")
    assert read["compressed"]["tflite_bytes"] == len(exported.tflite)
    assert read["settings"]["float32_weight_bytes"] == 4 * models.plain().count_params()


def test_a_failed_export_leaves_the_folder_alone(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"older")
    with pytest.raises(ExportError, match="tolerance"):
        exporter.export(
            models.plain(),
            tmp_path,
            precision="int8",
            representative_data=models.samples(),
            tolerance=1e-9,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_bytes() == b"older"


def test_public_names_are_sorted_and_there():
    assert exporter.__all__ == sorted(exporter.__all__)
    assert all(getattr(exporter, name) is not None for name in exporter.__all__)
