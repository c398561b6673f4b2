"""The format's description holds: a second reader, written from it, agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_compress import packing
from tests.packing import slow_reader
from tests.packing.tflite_models import build_model, clustered, every_kind

_GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize(
    "name", ["v1_fast", "v1_repeats", "v1_stored", "v1_empty", "v1_sparse_fast", "v1_channels_fast"]
)
def test_golden_files(name):
    data = (_GOLDEN / f"{name}.kcz").read_bytes()
    assert slow_reader.unpack(data) == packing.unpack(data)


@pytest.mark.parametrize(
    "name", ["clustered", "half codebook", "half", "sparse int8", "uint8", "words"]
)
def test_each_kind_alone(name):
    model = build_model({name: every_kind()[name]}, per_channel_scales=7)
    assert slow_reader.unpack(packing.pack(model, codec="fast")) == model


@pytest.mark.parametrize("data", [b"", b"x", b"abcd" * 200, bytes(5000), bytes(range(256)) * 3])
def test_bytes_that_are_no_model(data):
    assert slow_reader.unpack(packing.pack(data, codec="fast")) == data


@pytest.mark.parametrize("count", range(1, 14))
def test_short_tensors_leave_streams_empty(count):
    weights = np.resize(clustered((3, 4), 3, 0.6), (count + 7,))
    model = build_model({"w": weights.astype(np.float32)})
    assert slow_reader.unpack(packing.pack(model, codec="fast")) == model


def test_models_of_the_small_codec_are_named():
    with pytest.raises(NotImplementedError, match="byte model"):
        slow_reader.unpack(
            packing.pack(b"some text, some text, some text, some text" * 9, codec="small")
        )
