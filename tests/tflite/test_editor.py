"""A converted file taken apart, changed and put together: the runtime runs what was meant."""

from __future__ import annotations

import numpy as np
import pytest

from keras_compress.errors import ModelFileError
from keras_compress.exporter import convert
from keras_compress.tflite import Editor, read_tflite, run_tflite
from keras_compress.tflite.in_place import replace_constants
from tests.exporter import models


@pytest.fixture(scope="module")
def model_bytes():
    return convert(models.plain(), verify=False).tflite


def ran(data, seed=0):
    file = read_tflite(data)
    ((name, index),) = file.signatures[0].inputs.items()
    x = np.random.default_rng(seed).random((3, *file.tensor(index).shape[1:]), "float32")
    (result,) = run_tflite(data, file, {name: x}).values()
    return result


def test_a_file_that_is_not_changed_computes_the_same(model_bytes):
    editor = Editor(model_bytes)
    np.testing.assert_array_equal(ran(editor.packed()), ran(model_bytes))
    kinds = [editor.kind(operator) for operator in editor.graph.operators]
    assert kinds == [operator.name for operator in editor.file.operators]


def test_an_operator_and_a_constant_are_added(model_bytes):
    editor = Editor(model_bytes)
    last = editor.graph.operators[-1]
    index = int(last.inputs[0])
    source = editor.graph.tensors[index]
    shift = editor.add_constant("shift", np.arange(source.shape[-1], dtype=np.float32))
    moved = editor.add_tensor("moved", source.shape, "FLOAT32")
    add = editor.make_operator(editor.operator_code("ADD"), [index, shift], [moved])
    add.builtinOptionsType = editor.types.BuiltinOptions.AddOptions
    add.builtinOptions = editor.types.AddOptionsT()
    editor.insert_before(last, add)
    last.inputs = np.array([moved, *last.inputs[1:]], np.int32)
    changed = editor.packed()
    file = read_tflite(changed)
    assert file.operators[-2].name == "ADD"
    assert len(file.operators) == len(editor.file.operators) + 1
    assert file.tensor(shift).array().tolist() == list(range(source.shape[-1]))
    assert not np.allclose(ran(changed), ran(model_bytes), atol=1e-4)
    assert editor.operator_code("ADD") == editor.operator_code("ADD")
    assert editor.readers()[moved] == [last] and editor.producers()[moved] is add


def test_what_nobody_reads_is_left_out(model_bytes):
    editor = Editor(model_bytes)
    before = len(editor.graph.tensors), len(editor.model.buffers)
    source = int(editor.graph.operators[0].inputs[0])
    waste = editor.add_constant("waste", np.zeros(1000, np.float32))
    result = editor.add_tensor("unread", [1000], "FLOAT32")
    unread = editor.make_operator(editor.operator_code("NEG"), [waste], [result])
    editor.insert_before(editor.graph.operators[0], unread)
    editor.drop_unused_operators()
    editor.drop_unused_tensors()
    assert (len(editor.graph.tensors), len(editor.model.buffers)) <= before
    assert all(editor.kind(operator) != "NEG" for operator in editor.graph.operators)
    assert source >= 0
    np.testing.assert_array_equal(ran(editor.packed()), ran(model_bytes))


def test_a_custom_operator_carries_its_attributes(model_bytes):
    editor = Editor(model_bytes)
    operator = editor.graph.operators[0]
    editor.make_custom(operator, "Mine", [1, -2], [int(operator.inputs[0])])
    file = read_tflite(editor.packed())
    assert file.custom_operators == ("Mine",) and file.operators[0].custom_name == "Mine"
    assert np.asarray(operator.customOptions).tobytes() == np.array([1, -2], "<i4").tobytes()


def test_constants_are_replaced_where_they_lie(model_bytes):
    def negated(tensor):
        return -tensor.array() if len(tensor.shape) == 4 else None

    changed = replace_constants(model_bytes, negated)
    assert len(changed) == len(model_bytes) and changed != model_bytes
    assert replace_constants(changed, negated) == model_bytes
    with pytest.raises(ValueError, match="keeps its"):
        replace_constants(model_bytes, lambda tensor: np.zeros(1 << 16))


def test_what_is_no_model_is_not_edited():
    with pytest.raises(ModelFileError):
        Editor(b"no model at all, and no flatbuffer")
