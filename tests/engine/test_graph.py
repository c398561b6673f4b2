"""The graph of a model: who reads what, shared layers, nested models, operations."""

from __future__ import annotations

import keras
import pytest
from keras import layers, ops

from keras_compress import KerasCompressError
from keras_compress.engine.graph import trace_graph
from tests.training import subclassed

pytestmark = pytest.mark.backend_independent


def shapes(tensors):
    return [tuple(x.shape) for x in tensors]


def test_calls_come_in_order_with_what_they_read():
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    y = layers.ReLU(name="relu")(x)
    model = keras.Model(inputs, layers.Add(name="add")([x, y]))
    graph = trace_graph(model)
    assert [node.path for node in graph.nodes] == ["conv", "relu", "add"]
    assert graph.names == (("image", False),)
    conv, relu, add = graph.nodes
    assert conv.inputs[0] is keras.tree.flatten(graph.inputs)[0]
    assert relu.inputs == conv.outputs
    assert add.inputs == (conv.outputs[0], relu.outputs[0])
    assert add.args == ([conv.outputs[0], relu.outputs[0]],)
    assert graph.outputs is add.outputs[0]
    assert [node.path for node in graph.readers(conv.outputs[0])] == ["relu", "add"]
    assert graph.readers(add.outputs[0]) == ()
    assert add.operation is model.get_layer("add")


def test_the_model_is_not_changed():
    inputs = keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3)
    model = keras.Model(inputs, conv(inputs))
    before = conv.output
    trace_graph(model)
    trace_graph(model)
    assert conv.output is before
    assert "multiple" not in str(conv.input)
    assert len(model.get_config()["layers"][1]["inbound_nodes"]) == 1


def test_a_shared_layer_has_a_node_for_each_call():
    one, other = keras.Input((8, 8, 3)), keras.Input((5, 5, 3))
    conv = layers.Conv2D(4, 3)
    pooled = [layers.GlobalMaxPooling2D()(conv(x)) for x in (one, other)]
    graph = trace_graph(keras.Model([one, other], layers.Concatenate()(pooled)))
    calls = graph.calls()[id(conv)]
    assert sorted(shapes([node.outputs[0] for node in calls])) == [(None, 3, 3, 4), (None, 6, 6, 4)]


def test_a_layer_that_other_models_call_has_the_shapes_of_this_one():
    conv = layers.Conv2D(4, 3)
    elsewhere = keras.Input((20, 20, 3))
    conv(elsewhere)
    inputs = keras.Input((8, 8, 3))
    graph = trace_graph(keras.Model(inputs, layers.ReLU()(conv(inputs))))
    assert shapes(graph.nodes[-1].outputs) == [(None, 6, 6, 4)]


def test_nested_models_have_one_graph_for_all_calls():
    block = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(3, 1, name="c")], name="block")
    inputs = keras.Input((8, 8, 3))
    graph = trace_graph(keras.Model(inputs, layers.ReLU(name="r")(block(block(inputs)))))
    first, second, _ = graph.nodes
    assert first.inner is second.inner and first.inner is not None
    assert first.operation is block
    assert [node.path for node in first.inner.nodes] == ["block/c"]
    assert sorted(node.path for node in graph.walk()) == ["block/c", "r"]
    assert len(graph.graphs()) == 2


def test_operations_keep_their_arguments():
    inputs = keras.Input((8, 8, 6))
    x = ops.split(inputs, 2, axis=-1)[1][:, 1:, ..., None]
    graph = trace_graph(keras.Model(inputs, {"found": ops.mean(x, axis=(1, 2)) * 3.0}))
    split, item, mean, times = graph.nodes
    assert len(split.outputs) == 2
    assert item.args[1] == (slice(None), slice(1, None), Ellipsis, None)
    assert shapes(item.outputs) == [(None, 7, 8, 3, 1)]
    assert tuple(mean.operation.axis) == (1, 2)
    assert times.args[1] == 3.0
    assert list(graph.outputs) == ["found"]


def test_arguments_by_name_are_read():
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3)(query=inputs, value=layers.Dense(4, name="v")(inputs))
    graph = trace_graph(keras.Model(inputs, x))
    assert set(graph.nodes[-1].kwargs) >= {"query", "value"}
    assert len(graph.nodes[-1].inputs) == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (subclassed, r"a subclassed Subclassed, whose graph is unknown.*`keras\.Model\(x, "),
        (lambda: keras.Sequential([layers.Dense(2)]), "isn't built"),
        (lambda: layers.Dense(2), "of type Dense. Pass a `keras.Model`"),
    ],
)
def test_models_without_a_graph_are_refused(model, message):
    with pytest.raises(KerasCompressError, match=message):
        trace_graph(model())
