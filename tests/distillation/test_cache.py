from __future__ import annotations

import json
import shutil
import struct

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_compress.distillation import (
    Distiller,
    Hints,
    cache_teacher,
    load_teacher_cache,
)
from keras_compress.distillation.cache_file import MAGIC
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import compiled, fit, net, student, teacher, values
from tests.training import data

pytestmark = pytest.mark.backend_independent


@pytest.fixture(scope="module")
def big():
    return teacher()


@pytest.fixture(scope="module")
def written(big, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "teacher.cache"
    return cache_teacher(big, data()[0], path), path


@pytest.fixture
def cached(written, tmp_path):
    """The cache, and a file of it that a test may change."""
    cache, path = written
    return cache, shutil.copy2(path, tmp_path / "teacher.cache")


def test_it_holds_what_the_teacher_says(big, cached):
    cache, path = cached
    x, _ = data()
    np.testing.assert_allclose(cache.outputs[0], big.predict(x, verbose=0), atol=1e-5)
    loaded = load_teacher_cache(path)
    np.testing.assert_array_equal(loaded.outputs[0], cache.outputs[0])
    assert loaded.fingerprint == cache.fingerprint


def test_training_from_the_cache_is_training_with_the_teacher(big, cached):
    cache, _ = cached
    x, _ = data()
    weights = {"class_weight": {0: 2.0, 1: 0.5, 2: 1.0, 3: 1.0}}
    live = compiled(Distiller(big, student()), "sgd")
    expected = fit(live, **weights).history
    stored = compiled(Distiller(cache, student()), "sgd")
    found = fit(stored, inputs=cache.inputs(x), **weights).history
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4), name
    for a, b in zip(values(live.student), values(stored.student), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_validation_needs_no_teacher(cached):
    cache, _ = cached
    x, y = data()
    distiller = compiled(Distiller(cache, student()))
    history = fit(distiller, inputs=cache.inputs(x), validation_data=(x, y))
    assert np.isfinite(history.history["val_student_loss"][0])


def test_a_second_call_reads_the_file(big, cached):
    _, path = cached
    x, _ = data()
    stamp = path.stat().st_mtime_ns
    cache_teacher(big, x, path)
    assert path.stat().st_mtime_ns == stamp


def test_other_weights_other_data_and_other_types_are_not_mistaken(big, cached):
    cache, path = cached
    x, _ = data()
    other = teacher(seed=2, epochs=0)
    assert cache_teacher(other, x, path).fingerprint != cache.fingerprint
    stored = load_teacher_cache(path).outputs[0]
    np.testing.assert_allclose(stored, other.predict(x, verbose=0), atol=1e-5)
    changed = x.copy()
    changed[5, 0, 0, 0] += 1
    assert cache_teacher(big, changed, path).fingerprint != cache.fingerprint
    half = cache_teacher(big, x, path, dtype="float16")
    assert half.outputs[0].dtype == np.float16
    np.testing.assert_allclose(half.outputs[0], cache.outputs[0], atol=0.02)


def test_several_teachers_share_a_file(big, tmp_path):
    x, _ = data()
    other = teacher(seed=2, epochs=0)
    cache = cache_teacher([big, other], x, tmp_path / "two.cache")
    live = compiled(Distiller([big, other], student(), teacher_weights=[1, 3]), "sgd")
    fit(live)
    stored = compiled(Distiller(cache, student(), teacher_weights=[1, 3]), "sgd")
    fit(stored, inputs=cache.inputs(x))
    for a, b in zip(values(live.student), values(stored.student), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    one = cache_teacher(big, x, tmp_path / "one.cache")
    with pytest.raises(KerasCompressError, match="for 1 teachers"):
        Distiller(one, student(), teacher_weights=[1, 3])
    with pytest.raises(ValueError, match="2 shares and the outputs of 1"):
        fit(stored, inputs=one.inputs(x))


def test_losses_on_layers_need_the_teacher_itself(big, cached):
    cache, _ = cached
    distiller = compiled(Distiller(cache, student(), Hints("conv", "conv")))
    with pytest.raises(ValueError, match="a loss on layers"):
        fit(distiller, inputs=cache.inputs(data()[0]))


def test_cached_outputs_of_another_shape_are_refused(tmp_path):
    x, _ = data()
    cache = cache_teacher(net(4, "nine", classes=9), x, tmp_path / "nine.cache")
    with pytest.raises(ValueError, match="shape of the student's"):
        fit(compiled(Distiller(cache, student())), inputs=cache.inputs(x))


def test_outputs_of_other_data_are_never_taken_for_these(big, cached):
    cache, _ = cached
    x, _ = data()
    with pytest.raises(KerasCompressError, match="Received: other data"):
        cache.inputs(x[::-1])
    with pytest.raises(KerasCompressError, match="Received: other data"):
        cache.inputs(x * 255)
    assert len(cache) == len(x)
    # The teacher heard another range than the student does.
    beside = cache.inputs(x * 255, heard=x)
    np.testing.assert_array_equal(
        compiled(Distiller(cache, student())).predict(beside, verbose=0).shape, (96, 4)
    )
    with pytest.raises(KerasCompressError, match="95 inputs and outputs for 96"):
        cache.inputs(x[:-1], heard=x)


def test_it_knows_whether_a_teacher_gave_probabilities(big, tmp_path):
    x, _ = data()
    sure = keras.Model(big.inputs, keras.ops.softmax(big.outputs[0]))
    cache = cache_teacher([sure, big], x, tmp_path / "two.cache")
    assert cache.heads == (("softmax",), ("linear",))
    loaded = load_teacher_cache(tmp_path / "two.cache")
    assert loaded.heads == cache.heads and loaded.data == cache.data
    live, stored = student(), student()
    compiled(Distiller(big, live, student_loss_weight=0.0), "sgd")
    found = []
    for each, inputs in ((big, x), (loaded, loaded.inputs(x))):
        distiller = compiled(Distiller(each, student(), student_loss_weight=0.0), "sgd")
        found.append(distiller.evaluate(inputs, data()[1], verbose=0, return_dict=True)["loss"])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    untold = compiled(Distiller(None, stored))
    with pytest.raises(ValueError, match="teacher_from_logits=True"):
        fit(untold, inputs=loaded.inputs(x))


def test_outputs_in_lists_and_dicts_are_kept(tmp_path):
    inputs = keras.Input((4,))
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    outputs = {"b": keras.layers.Dense(1, "sigmoid")(inputs), "a": keras.layers.Dense(3)(inputs)}
    for structure in (outputs, list(outputs.values())):
        model = keras.Model(inputs, structure)
        path = tmp_path / "several.cache"
        cache_teacher(model, x, path)
        loaded = load_teacher_cache(path)
        expected = model.predict(x, verbose=0)
        keras.tree.assert_same_structure(loaded.outputs[0], expected)
        pairs = zip(*map(keras.tree.flatten, (loaded.outputs[0], expected)), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert len(loaded) == 6
        assert set(loaded.heads[0]) == {"sigmoid", "linear"}


def test_a_layer_whose_code_changed_makes_the_file_anew(tmp_path):
    class Scaled(keras.layers.Layer):
        factor = 1.0

        def call(self, x):
            return self.factor * x

    def made():
        dense = keras.layers.Dense(3, kernel_initializer="ones", name="dense")
        inputs = keras.Input((4,), name="inputs")
        return keras.Sequential([inputs, dense, Scaled(name="scaled")], name="own")

    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    first = cache_teacher(made(), x, tmp_path / "a.cache")
    Scaled.factor = 2.0
    second = cache_teacher(made(), x, tmp_path / "a.cache")
    assert second.fingerprint == first.fingerprint
    np.testing.assert_allclose(second.outputs[0], 2 * first.outputs[0], rtol=1e-5)


def test_bad_input_is_refused(big, tmp_path):
    x, _ = data()
    with pytest.raises(KerasCompressError, match="Only fixed data"):
        cache_teacher(big, x.astype(object), tmp_path / "a.cache")
    with pytest.raises(KerasCompressError, match="Only fixed data"):
        cache_teacher(big, (batch for batch in [x]), tmp_path / "a.cache")
    with pytest.raises(KerasCompressError, match="dtype='int8'"):
        cache_teacher(big, x, tmp_path / "a.cache", dtype="int8")
    with pytest.raises(KerasCompressError, match="empty list"):
        cache_teacher([], x, tmp_path / "a.cache")
    broken = keras.models.clone_model(big)
    broken.set_weights([np.full_like(w, np.nan) for w in big.get_weights()])
    with pytest.raises(KerasCompressError, match="must be finite"):
        cache_teacher(broken, x, tmp_path / "a.cache")
    assert not (tmp_path / "a.cache").exists()


def test_a_file_of_another_kind_is_not_overwritten(big, tmp_path):
    x, _ = data()
    path = tmp_path / "thesis.txt"
    path.write_text("three years of work")
    with pytest.raises(KerasCompressError, match="a file of another kind"):
        cache_teacher(big, x, path)
    assert path.read_text() == "three years of work"


def _file(header, payload=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return MAGIC + struct.pack("<I", len(text) if length is None else length) + text + payload


def _header(*outputs, heads=("linear",), **more):
    teachers = [{"outputs": each, "heads": list(heads)} for each in outputs]
    return {"checksum": "", "fingerprint": "", "data": "", "teachers": teachers, **more}


def _array(shape, dtype="float32"):
    return {"array": [shape, dtype]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "another kind"),
        (MAGIC, "cut short"),
        (_file(b"{", length=1 << 31), "longer than the file"),
        (_file(b"no json"), "no JSON"),
        (_file(b"[" * 60_000), "no JSON"),
        (_file([]), "makes no sense"),
        (_file(_header()), "makes no sense"),
        (_file(_header(_array([2, 2]), data=None)), "makes no sense"),
        (_file(_header(_array([1 << 39, 1 << 39, 1 << 39]))), "shorter"),
        (_file(_header(_array([-2, 2]))), "makes no sense"),
        (_file(_header(_array([True, 2]))), "makes no sense"),
        (_file(_header(_array([]))), "makes no sense"),
        (_file(_header(_array([2, 2], "object"))), "makes no sense"),
        (_file(_header(_array([2, 2]), heads=("eval",))), "makes no sense"),
        (_file(_header(_array([2, 2]), heads=())), "makes no sense"),
        (_file(_header({"list": []}, heads=())), "makes no sense"),
        (_file(_header({"set": [_array([2])]})), "makes no sense"),
        (_file(_header(_array([2]), _array([3])), bytes(20)), "makes no sense"),
        (_file(_header(_array([2, 2])), bytes(15)), "shorter"),
        (_file(_header(_array([2, 2])), bytes(17)), "longer than its header"),
        (_file(_header(_array([2, 2])), bytes(16)), "checksum is wrong"),
    ],
)
def test_hostile_files_are_refused(content, why, tmp_path):
    path = tmp_path / "bad.cache"
    path.write_bytes(content)
    with pytest.raises(KerasCompressError, match=why):
        load_teacher_cache(path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_flipped_byte_never_goes_unnoticed(cached_bytes, data):
    content, path = cached_bytes
    place = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = bytearray(content)
    damaged[place] ^= flip
    path.write_bytes(damaged)
    try:
        cache = load_teacher_cache(path)
    except KerasCompressError:
        return
    # What the checksum doesn't cover are fingerprints, which no longer fit, and shapes and names.
    path.write_bytes(content)
    original = load_teacher_cache(path)
    np.testing.assert_array_equal(cache.outputs[0].ravel(), original.outputs[0].ravel())


@pytest.fixture(scope="module")
def cached_bytes(written, tmp_path_factory):
    content = written[1].read_bytes()
    return content, tmp_path_factory.mktemp("cache") / "teacher.cache"


def test_a_limit_is_kept(cached):
    with pytest.raises(KerasCompressError, match="at most 100 bytes"):
        load_teacher_cache(cached[1], limit=100)
