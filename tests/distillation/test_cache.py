from __future__ import annotations

import json
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
from keras_compress.distillation.cache import MAGIC
from keras_compress.errors import KerasCompressError
from tests.distillation.nets import compiled, fit, net, student, teacher, values
from tests.training import data


@pytest.fixture(scope="module")
def big():
    return teacher()


@pytest.fixture
def cached(big, tmp_path):
    x, _ = data()
    path = tmp_path / "teacher.cache"
    return cache_teacher(big, x, path), path


def test_it_holds_what_the_teacher_says(big, cached):
    cache, path = cached
    x, _ = data()
    np.testing.assert_allclose(cache.outputs[0], big.predict(x, verbose=0), atol=1e-5)
    loaded = load_teacher_cache(path)
    np.testing.assert_array_equal(loaded.outputs[0], cache.outputs[0])
    assert loaded.fingerprint == cache.fingerprint


def test_training_from_the_cache_is_training_with_the_teacher(big, cached):
    cache, _ = cached
    _, y = data()
    live = compiled(Distiller(big, student()), "sgd")
    fit(live, epochs=2)
    stored = compiled(Distiller(None, student()), "sgd")
    history = fit(stored, cache.targets(y), epochs=2)
    assert "accuracy" in history.history
    for a, b in zip(values(live.student), values(stored.student), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_validation_needs_no_teacher(cached):
    cache, _ = cached
    x, y = data()
    distiller = compiled(Distiller(None, student()))
    history = fit(distiller, cache.targets(y), validation_data=(x, y))
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
    x, y = data()
    other = teacher(seed=2, epochs=1)
    cache = cache_teacher([big, other], x, tmp_path / "two.cache")
    live = compiled(Distiller([big, other], student(), teacher_weights=[1, 3]), "sgd")
    fit(live)
    stored = compiled(Distiller(None, student(), teacher_weights=[1, 3]), "sgd")
    fit(stored, cache.targets(y))
    for a, b in zip(values(live.student), values(stored.student), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    with pytest.raises(ValueError, match="2 shares and the outputs of 1"):
        one = cache_teacher(big, x, tmp_path / "one.cache")
        fit(compiled(Distiller(None, student(), teacher_weights=[1, 3])), one.targets(y))


def test_losses_on_layers_need_the_teacher_itself(big, cached):
    cache, _ = cached
    _, y = data()
    distiller = compiled(Distiller(None, student(), Hints("conv", "conv")))
    with pytest.raises(ValueError, match="a loss on layers"):
        fit(distiller, cache.targets(y))


def test_cached_outputs_of_another_shape_are_refused(tmp_path):
    x, y = data()
    cache = cache_teacher(net(4, "nine", classes=9), x, tmp_path / "nine.cache")
    with pytest.raises(ValueError, match="shape of the student's"):
        fit(compiled(Distiller(None, student())), cache.targets(y))


def test_bad_input_is_refused(big, cached, tmp_path):
    cache, _ = cached
    x, y = data()
    with pytest.raises(KerasCompressError, match="95 labels and outputs for 96"):
        cache.targets(y[:-1])
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


_HEADER = {"checksum": "", "fingerprint": "", "outputs": [[[2, 2], "float32"]]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        MAGIC,
        _file(b"{", length=1 << 31),
        _file(b"no json"),
        _file([]),
        _file({**_HEADER, "outputs": []}),
        _file({**_HEADER, "outputs": [[[1 << 39, 1 << 39, 1 << 39], "float32"]]}),
        _file({**_HEADER, "outputs": [[[-2, 2], "float32"]]}),
        _file({**_HEADER, "outputs": [[[2, 2], "object"]]}),
        _file({**_HEADER, "outputs": [[[2], "float32"], [[3], "float32"]]}, bytes(20)),
        _file(_HEADER, bytes(15)),
        _file(_HEADER, bytes(17)),
        _file(_HEADER, bytes(16)),
    ],
)
def test_hostile_files_are_refused(content, tmp_path):
    path = tmp_path / "bad.cache"
    path.write_bytes(content)
    with pytest.raises(KerasCompressError):
        load_teacher_cache(path)


@settings(max_examples=60, deadline=None)
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
    # What the checksum doesn't cover is the fingerprint, and that no longer fits.
    path.write_bytes(content)
    original = load_teacher_cache(path)
    np.testing.assert_array_equal(cache.outputs[0].ravel(), original.outputs[0].ravel())


@pytest.fixture(scope="module")
def cached_bytes(big, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache") / "teacher.cache"
    cache_teacher(big, data()[0], path)
    return path.read_bytes(), path


def test_a_limit_is_kept(cached):
    with pytest.raises(KerasCompressError, match="at most 100 bytes"):
        load_teacher_cache(cached[1], limit=100)
