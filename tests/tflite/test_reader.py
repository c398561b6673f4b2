"""Reading model files, good and hostile."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_compress.errors import KerasCompressError, ModelFileError
from keras_compress.exporter import convert
from keras_compress.tflite import read_tflite
from keras_compress.tflite.in_place import keep_outputs
from tests.exporter import models


@pytest.fixture(scope="module")
def model_bytes():
    return convert(models.branched(), verify=False).tflite


def test_what_is_read_is_what_the_runtime_reads(model_bytes):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model_bytes, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    file = read_tflite(model_bytes)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    checked = 0
    for tensor in file.tensors:
        assert details[tensor.index]["name"] == tensor.name
        assert tuple(details[tensor.index]["shape"]) == tensor.shape
        if tensor.is_readable:
            stored = interpreter.get_tensor(tensor.index)
            np.testing.assert_array_equal(stored, tensor.array())
            checked += 1
    assert checked >= 4
    assert [d["index"] for d in interpreter.get_input_details()] == list(file.inputs)
    assert [d["index"] for d in interpreter.get_output_details()] == list(file.outputs)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"TFL3", "cut short"),
        (b"<html>not a model</html>", "identifier"),
        (struct.pack("<I4s", 1 << 30, b"TFL3") + bytes(40), "root"),
    ],
)
def test_accidents(data, message):
    with pytest.raises(ModelFileError, match=message):
        read_tflite(data, name="download.tflite")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_truncation(model_bytes, share):
    with pytest.raises(ModelFileError):
        file = read_tflite(model_bytes[: int(len(model_bytes) * share)])
        for tensor in file.tensors:
            if tensor.is_constant:
                tensor.array()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_never_escapes(model_bytes, data):
    damaged = bytearray(model_bytes)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 4))
        struct.pack_into("<I", damaged, place, data.draw(st.integers(0, 2**32 - 1)))
    try:
        file = read_tflite(bytes(damaged))
        for tensor in file.tensors:
            if tensor.is_readable:
                tensor.array()
                tensor.quantization()
    except KerasCompressError:
        pass


def test_huge_claims_are_refused_before_they_are_followed(model_bytes):
    """Every length field of the file, made enormous in turn, ends quickly."""
    for place in range(0, min(len(model_bytes), 4000) - 4, 4):
        damaged = bytearray(model_bytes)
        struct.pack_into("<I", damaged, place, 0x7FFFFFFF)
        with contextlib.suppress(ModelFileError):
            read_tflite(bytes(damaged))


def test_results_can_be_dropped_and_reordered(model_bytes):
    from ai_edge_litert.interpreter import Interpreter

    edited = keep_outputs(model_bytes, ["alpha"])
    assert len(edited) == len(model_bytes)
    interpreter = Interpreter(model_content=edited)
    interpreter.allocate_tensors()
    assert [tuple(d["shape"]) for d in interpreter.get_output_details()] == [(1, 3)]
    swapped = Interpreter(model_content=keep_outputs(model_bytes, ["alpha", "zeta"]))
    assert [tuple(d["shape"]) for d in swapped.get_output_details()] == [(1, 3), (1, 7)]
    assert keep_outputs(model_bytes, ["zeta", "alpha"]) == model_bytes
    with pytest.raises(KerasCompressError, match="gamma"):
        keep_outputs(model_bytes, ["gamma"])


def test_reading_needs_no_tensorflow(model_bytes, tmp_path):
    (tmp_path / "m.tflite").write_bytes(model_bytes)
    script = (
        "import sys; from keras_compress.tflite import Editor, read_tflite;"
        f"data = open({str(tmp_path / 'm.tflite')!r}, 'rb').read();"
        "read_tflite(data); Editor(data).packed();"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
