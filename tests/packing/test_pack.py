"""Packing is lossless over any bytes, and smaller than the general compressors."""

from __future__ import annotations

import lzma
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_compress import packing
from keras_compress.errors import KerasCompressError, PackedFileError
from tests.packing.tflite_models import build_model, clustered, every_kind

CODECS = ("auto", "fast", "small", "smallest")


def check(data: bytes, codec: str = "auto") -> bytes:
    packed = packing.pack(data, codec=codec)
    assert packing.unpack(packed) == data
    assert len(packed) <= len(data) + 64
    return packed


@pytest.fixture(scope="module")
def model() -> bytes:
    return build_model(every_kind(), per_channel_scales=24)


@pytest.mark.parametrize("codec", CODECS)
def test_every_kind_of_tensor_comes_back(model, codec):
    check(model, codec)


def test_methods_are_used_where_they_are_smallest(model):
    rng = np.random.default_rng(0)
    floats = rng.normal(size=(200, 100)) * np.exp(rng.normal(size=(200, 1)))
    used = set()
    for each in (
        model,
        build_model({"w": clustered((200, 100), 9, 0.6)}),
        build_model({"f": floats.astype("f4")}),
    ):
        for codec in ("fast", "small", "smallest"):
            packed = packing.pack(each, codec=codec)
            used |= {tensor.coder for tensor in packing.inspect(packed).tensors}
    assert used >= {
        "fill",
        "copy",
        "fast symbols",
        "floats",
        "huffman",
        "gaps",
        "planes",
        "repeats",
    }


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"abc", b"TFL3" * 9, bytes(100_000), bytes(range(256)) * 50]
)
def test_bytes_that_are_no_model(data, codec):
    check(data, codec)


@given(st.binary(max_size=3000), st.sampled_from(CODECS))
@settings(max_examples=30, deadline=None)
def test_random_bytes(data, codec):
    check(data, codec)


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_models_with_changed_bytes(data):
    # Damaged offsets lead the walker anywhere; what it finds there must still come back.
    model = bytearray(build_model({"w": clustered((20, 30), 9, 0.6), "v": np.ones(9, np.float32)}))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(model) - 1))
        model[at] = data.draw(st.integers(0, 255))
    check(bytes(model), data.draw(st.sampled_from(CODECS)))


@given(
    values=st.integers(2, 256),
    zeros=st.floats(0, 1),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
    codec=st.sampled_from(CODECS),
)
@settings(max_examples=30, deadline=None)
def test_codebooks_of_all_sizes(values, zeros, rows, columns, dtype, codec):
    weights = clustered((rows, columns), values, zeros)
    if dtype == "int8":
        weights = np.clip(weights * 40, -128, 127)
    check(build_model({"w": weights.astype(dtype)}), codec)


@pytest.mark.parametrize("codec", CODECS)
def test_odd_floats_come_back_bit_for_bit(codec):
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1, 0x7F800000, 0x807FFFFF], np.uint32)
    weights = np.tile(bits, 700).view(np.float32)
    weights[::7] = np.random.default_rng(0).normal(size=weights[::7].size)
    check(build_model({"w": weights}), codec)


def test_truncated_models_are_packed_as_plain_bytes(model):
    for size in (1, 7, 8, 16, 100, len(model) // 2, len(model) - 1):
        check(model[:size])


@pytest.mark.parametrize("shape", [(2, 0), (1, 1, 1, 4096), (4096, 1), (5, 7, 1, 3, 2, 2, 1, 3)])
def test_unusual_shapes(shape):
    rng = np.random.default_rng(2)
    check(build_model({"w": rng.normal(size=shape).astype(np.float32)}), "smallest")


def test_scales_of_biases_cost_nothing():
    plain = build_model({"w": np.ones(4, np.float32)}, per_channel_scales=500)
    broken = bytearray(plain)
    # The last of the three arrays is the bias': give it other scales.
    packed = len(check(plain, "smallest"))
    scales = np.frombuffer(
        np.random.default_rng(9).uniform(1e-5, 1e-4, 500).astype(np.float32).tobytes(), np.uint8
    )
    rng = np.random.default_rng(5)
    weights = rng.uniform(1e-3, 1e-2, 500).astype(np.float32)
    target = (weights * np.float32(0.0235)).tobytes()
    at = plain.index(target)
    broken[at : at + len(target)] = scales.tobytes()
    assert packed < len(check(bytes(broken), "smallest")) - 1000


def test_zeros_and_clusters_are_found():
    weights = clustered((200, 300), 33, 0.9)
    data = build_model({"w": weights})
    for codec in CODECS:
        kept = np.count_nonzero(weights)
        assert 8 * len(check(data, codec)) < 11 * kept


def test_real_models_come_back_and_nothing_general_is_smaller(shared_data):
    files = sorted(shared_data.glob("models/**/*.tflite"))
    assert files
    for path in files:
        data = path.read_bytes()
        best = min(
            len(zlib.compress(data, 9)) + 12,
            len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        )
        # In test_codec_order.py `smallest` is no larger than `auto`, for all of these.
        codecs = ("auto", "small", "smallest") if len(data) < 60_000 else ("auto",)
        for codec in codecs:
            assert len(check(data, codec)) <= best, (path, codec)


def test_real_models_unpack_from_the_fast_codec(shared_data):
    for path in sorted(shared_data.glob("models/**/*.tflite")):
        check(path.read_bytes(), "fast")


def test_unpack_into(model):
    packed = packing.pack(model)
    buffer = bytearray(len(model) + 10)
    assert packing.unpack_into(packed, buffer) == len(model)
    assert buffer[: len(model)] == model
    array = np.zeros(len(model), np.uint8)
    assert packing.unpack_into(packed, array) == len(model)
    assert array.tobytes() == model
    with pytest.raises(PackedFileError, match=f"at most {len(model) - 1} bytes"):
        packing.unpack_into(packed, bytearray(len(model) - 1))
    with pytest.raises(KerasCompressError, match="read-only"):
        packing.unpack_into(packed, model)


def test_limit_is_checked(model):
    packed = packing.pack(model)
    assert packing.unpack(packed, max_size=len(model)) == model
    for limit in (0, 1, len(model) - 1):
        with pytest.raises(PackedFileError, match=f"declared size of {len(model)}"):
            packing.unpack(packed, max_size=limit)
    for function in (packing.unpack, packing.verify, packing.open_packed):
        with pytest.raises(KerasCompressError, match="`max_size` must be 0 or more"):
            function(packed, max_size=-1)


def test_arguments_are_checked():
    with pytest.raises(KerasCompressError, match="codec='best'"):
        packing.pack(b"", codec="best")
    with pytest.raises(KerasCompressError, match="must be bytes"):
        packing.pack("text")


def test_threads_may_pack_at_the_same_time(model):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: check(model, "fast"), range(8)))
    assert len(set(results)) == 1


def test_packing_a_file(tmp_path, model):
    source, packed, restored = (tmp_path / name for name in ("m.tflite", "m.kcz", "n.tflite"))
    source.write_bytes(model)
    sizes = packing.pack_file(source, packed)
    assert sizes.packed_size == packed.stat().st_size
    assert packing.unpack_file(packed, restored).original_size == len(model)
    assert restored.read_bytes() == model
    packing.verify(packed.read_bytes())
