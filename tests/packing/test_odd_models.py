"""Models that no converter writes, at the limits of the format: what is packed can be read."""

from __future__ import annotations

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_compress import packing
from tests.packing.tflite_models import build_model


def _scale_field(model: bytes, tensor: int) -> int:
    """Where the offset of a tensor's scales stands."""
    graph = schema.Model.GetRootAs(model).Subgraphs(0)
    table = graph.Tensors(tensor).Quantization()._tab
    return table.Pos + table.Offset(8)


def test_scales_over_the_size_of_a_buffer():
    """The last of a bias' scales is, in this file, also the count of a buffer's vector.

    The packer replaces scales by their difference to what others tell. Where that changes a size
    that stands in the graph, the plan has to name the size.
    """
    weights = np.random.default_rng(0).normal(size=(60, 60)).astype("<f4").tobytes()
    plain = build_model({"w": np.zeros((60, 60), np.float32) + 1.5}, per_channel_scales=9)
    model = bytearray(plain)
    # Behind everything: the bias' scales but for the last, and a vector of the weights.
    graph = schema.Model.GetRootAs(plain).Subgraphs(0)
    scales = graph.Tensors(3).Quantization().ScaleAsNumpy().astype("<f4").tobytes()
    vector = len(model) + 4 + len(scales) - 4
    model += (9).to_bytes(4, "little") + scales[:-4] + len(weights).to_bytes(4, "little") + weights
    field = _scale_field(plain, 3)
    model[field : field + 4] = (len(plain) - field).to_bytes(4, "little")
    buffer = schema.Model.GetRootAs(plain).Buffers(1)._tab
    field = buffer.Pos + buffer.Offset(4)
    model[field : field + 4] = (vector - field).to_bytes(4, "little")
    model = bytes(model)
    listed = packing.inspect(model).tensors
    assert [(t.name, t.size) for t in listed] == [("w", len(weights))]
    for codec in ("auto", "fast", "small", "smallest"):
        packed = packing.pack(model, codec=codec)
        assert packing.unpack(packed) == model
        assert len(packed) < len(model) - 500
    assert packing.unpack(packing.pack(model, base=plain), base=plain) == model


def _with_many_rules(count: int) -> bytes:
    """A graph of `count` fully connected operators whose biases' scales follow from others."""
    # Tables of one layout each, written as arrays: a builder would take a minute.
    builder = flatbuffers.Builder(1024)
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    model.operatorCodes = [schema.OperatorCodeT()]
    graph = schema.SubGraphT()
    graph.name, graph.operators, graph.tensors = "main", [schema.OperatorT()], []
    for _ in range(3):
        tensor = schema.TensorT()
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.ones(1, np.float32)
        graph.tensors.append(tensor)
    model.subgraphs = [graph]
    builder.Finish(model.Pack(builder), b"TFL3")
    head = bytes(builder.Output())
    head += bytes(-len(head) % 8)

    # Virtual tables: a tensor with quantization (field 4), a quantization with scales (2), an
    # operator with inputs (1).
    tables = [(4, 14, 8), (2, 10, 8), (1, 8, 8)]
    virtual, where = b"", []
    for field, size, room in tables:
        where.append(len(head) + len(virtual))
        slots = [0] * ((size - 4) // 2)
        slots[field] = 4
        virtual += np.array([size, room, *slots], "<u2").tobytes()
        virtual += bytes(-len(virtual) % 8)
    start = len(head) + len(virtual)
    scales = np.random.default_rng(1).uniform(0.5, 2, count + 2).astype("<f4")
    scales[2:] = scales[0] * scales[1]
    total = count + 2
    # For each tensor: its table, its quantization's table, a vector of one scale: 24 bytes.
    rows = np.zeros((total, 6), "<u4")
    at = start + 24 * np.arange(total)
    rows[:, 0], rows[:, 1] = at - where[0], 4
    rows[:, 2], rows[:, 3] = at + 8 - where[1], 4
    rows[:, 4], rows[:, 5] = 1, scales.view("<u4")
    body = rows.tobytes()
    operators = start + len(body)
    # For each operator: its table and a vector of three inputs: 24 bytes.
    rows = np.zeros((count, 6), "<u4")
    at = operators + 24 * np.arange(count)
    rows[:, 0], rows[:, 1], rows[:, 2] = at - where[2], 4, 3
    rows[:, 3], rows[:, 4], rows[:, 5] = 0, 1, 2 + np.arange(count)
    body += rows.tobytes()

    def vector(base: int, number: int) -> bytes:
        place = start + len(body) + 4
        offsets = base + 24 * np.arange(number) - (place + 4 * np.arange(number))
        return number.to_bytes(4, "little") + offsets.astype("<i4").astype("<u4").tobytes()

    # Offsets of vectors' elements point forward only: the lists come first in the file.
    lists = 8 + 4 * total + 4 * count
    shift = lists + -lists % 8
    return _joined(head, virtual, body, total, count, shift)


def _joined(head: bytes, virtual: bytes, body: bytes, total: int, count: int, shift: int) -> bytes:
    first = len(head)
    tensors = first + shift + len(virtual) + 24 * np.arange(total)
    operators = first + shift + len(virtual) + 24 * (total + np.arange(count))
    places = first + 4 + 4 * np.arange(total)
    lists = np.concatenate([
        [total], tensors - places,
        [count], operators - (first + 8 + 4 * total + 4 * np.arange(count)),
    ]).astype("<u4").tobytes()  # fmt: skip
    lists += bytes(shift - len(lists))
    model = bytearray(head + lists + virtual + body)
    table = schema.Model.GetRootAs(head).Subgraphs(0)._tab
    for slot, target in ((4, first), (10, first + 4 + 4 * total)):
        field = table.Pos + table.Offset(slot)
        model[field : field + 4] = (target - field).to_bytes(4, "little")
    return bytes(model)


@pytest.mark.parametrize("count", [1000, 66_000])
def test_more_rules_than_a_plan_may_have(count):
    model = _with_many_rules(count)
    graph = schema.Model.GetRootAs(model).Subgraphs(0)
    assert graph.TensorsLength() == count + 2 and graph.OperatorsLength() == count
    product = graph.Tensors(0).Quantization().Scale(0) * graph.Tensors(1).Quantization().Scale(0)
    assert graph.Tensors(count + 1).Quantization().Scale(0) == pytest.approx(product, rel=1e-6)
    packed = packing.pack(model, codec="fast")
    assert packing.unpack(packed) == model


def test_thousands_of_small_buffers():
    """Buffers of 32 bytes that nobody uses: a plan as long as what it saves."""
    f = schema.ModelT()
    f.version, f.buffers, f.subgraphs = 3, [], []
    rng = np.random.default_rng(2)
    for _ in range(3000):
        buffer = schema.BufferT()
        buffer.data = np.full(32, rng.integers(0, 256), np.uint8)
        f.buffers.append(buffer)
    builder = flatbuffers.Builder(1024)
    builder.Finish(f.Pack(builder), b"TFL3")
    model = bytes(builder.Output())
    for codec in ("auto", "fast", "small", "smallest"):
        packed = packing.pack(model, codec=codec)
        assert packing.unpack(packed) == model
        assert len(packed) < len(model) / 4
