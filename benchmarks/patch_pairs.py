"""Pairs of an old and a new model, as updates come: made from models in the data folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_compress import packing

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.packing.tflite_models import build_model

QUANTIZED = (
    "mlperf_tiny/vww_96_int8",
    "mlperf_tiny/pretrainedResnet_quant",
    "coral/mobilenet_v1_0.25_128_quant",
)
FLOAT = "mlperf_tiny/pretrainedResnet"
Pair = tuple[bytes, bytes]


def cluster(weights: np.ndarray, values: int, kept: np.ndarray) -> np.ndarray:
    """Shared values by Lloyd's algorithm from even quantiles; what isn't kept is zero."""
    flat = np.sort(weights[kept])
    centres = np.quantile(flat, (np.arange(values) + 0.5) / values)
    for _ in range(30):
        index = np.abs(weights[kept][:, None] - centres[None]).argmin(1)
        for k in range(values):
            if np.any(index == k):
                centres[k] = weights[kept][index == k].mean()
    out = np.zeros_like(weights)
    out[kept] = centres[index].astype(np.float32)
    return out


def lenet5(rng: np.random.Generator, drift: float, latent: dict[str, np.ndarray]) -> bytes:
    """LeNet-5's tensors, pruned to its published shares and clustered, after some `drift`."""
    shares = {"conv1": (0.66, 256), "conv2": (0.12, 256), "fc1": (0.08, 32), "fc2": (0.19, 32)}
    arrays = {}
    for name, base in latent.items():
        share, values = shares[name]
        weights = np.asarray(base + rng.normal(size=base.shape) * base.std() * drift, np.float32)
        kept = np.abs(base) >= np.quantile(np.abs(base), 1 - share)
        arrays[f"{name}/kernel"] = cluster(weights, min(values, kept.sum() // 4), kept)
        arrays[f"{name}/bias"] = np.asarray(rng.normal(size=base.shape[0]), np.float32)
    return build_model(arrays)


def changed_tensors(
    model: bytes, change: Callable[[np.ndarray], np.ndarray], only: int | None
) -> bytes:
    """The model with the int8, uint8 or float32 tensors changed, all or the largest `only`."""
    out = bytearray(model)
    with packing.open_packed(packing.pack(model, codec="fast")) as file:
        tensors = [t for t in file.tensors if t.dtype in ("int8", "uint8", "float32")]
        tensors.sort(key=lambda t: -t.size)
        for tensor in tensors[:only]:
            values = change(file.tensor(file.tensors.index(tensor)))
            out[tensor.offset : tensor.offset + tensor.size] = values.tobytes()
    return bytes(out)


def rebuilt(model: bytes, change: Callable[[schema.ModelT], None] | None = None) -> bytes:
    """The model taken apart, changed, and put together again, as converters write it."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    if change is not None:
        change(tree)
    builder = flatbuffers.Builder(1024)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def largest(tree: schema.ModelT) -> schema.TensorT:
    """The tensor with the largest buffer."""
    sizes = [0 if b.data is None else len(b.data) for b in tree.buffers]
    return max(tree.subgraphs[0].tensors, key=lambda t: sizes[t.buffer])


def structural(model: bytes, rng: np.random.Generator) -> Iterator[tuple[str, Pair]]:
    """What changes the graph, or the size or type of a buffer."""
    old = rebuilt(model)

    def half_precision(tree: schema.ModelT) -> None:
        tensor = largest(tree)
        values = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), np.float32)
        tree.buffers[tensor.buffer].data = np.frombuffer(
            values.astype(np.float16).tobytes(), np.uint8
        )
        tensor.type = 1

    def layers_inserted(tree: schema.ModelT) -> None:
        graph = tree.subgraphs[0]
        for operator in list(graph.operators[2:5]):
            added = schema.OperatorT()
            added.__dict__.update(operator.__dict__)
            inputs = list(operator.inputs)
            for i, number in enumerate(inputs):
                data = tree.buffers[graph.tensors[number].buffer].data
                if data is None or len(data) < 64:
                    continue
                tensor = schema.TensorT()
                tensor.__dict__.update(graph.tensors[number].__dict__)
                tensor.name, tensor.buffer = bytes(tensor.name) + b"_new", len(tree.buffers)
                buffer = schema.BufferT()
                values = np.frombuffer(bytes(data), np.float32)
                fresh = (rng.normal(size=values.size) * values.std()).astype(np.float32)
                buffer.data = np.frombuffer(fresh.tobytes(), np.uint8)
                inputs[i] = len(graph.tensors)
                tree.buffers.append(buffer)
                graph.tensors.append(tensor)
            added.inputs = inputs
            graph.operators.insert(3, added)

    def head_replaced(tree: schema.ModelT) -> None:
        for tensor in reversed(tree.subgraphs[0].tensors):
            data = tree.buffers[tensor.buffer].data
            if data is None or len(tensor.shape) != 2:
                continue
            rows, columns = tensor.shape[0] + 2, tensor.shape[1]
            tensor.shape = [rows, columns]
            fresh = (rng.normal(size=(rows, columns)) / 10).astype(np.float32)
            tree.buffers[tensor.buffer].data = np.frombuffer(fresh.tobytes(), np.uint8)
            return

    def rows_added(tree: schema.ModelT) -> None:
        tensor = largest(tree)
        data = bytes(tree.buffers[tensor.buffer].data)
        row = len(data) // tensor.shape[0]
        half = len(data) // 2 // row * row
        fresh = (rng.normal(size=3 * row // 4) / 10).astype(np.float32).tobytes()
        tree.buffers[tensor.buffer].data = np.frombuffer(
            data[:half] + fresh + data[half:], np.uint8
        )
        tensor.shape = [tensor.shape[0] + 3, *tensor.shape[1:]]

    def rows_cut(tree: schema.ModelT) -> None:
        tensor = largest(tree)
        data = bytes(tree.buffers[tensor.buffer].data)
        row = len(data) // tensor.shape[0]
        tree.buffers[tensor.buffer].data = np.frombuffer(
            data[: 5 * row] + data[9 * row :], np.uint8
        )
        tensor.shape = [tensor.shape[0] - 4, *tensor.shape[1:]]

    def buffers_moved(tree: schema.ModelT) -> None:
        order = [0, *(1 + rng.permutation(len(tree.buffers) - 1))]
        place = {int(old_index): i for i, old_index in enumerate(order)}
        tree.buffers = [tree.buffers[i] for i in order]
        for tensor in tree.subgraphs[0].tensors:
            tensor.buffer = place[tensor.buffer]
        for entry in tree.metadata or []:
            entry.buffer = place[entry.buffer]

    def metadata_changed(tree: schema.ModelT) -> None:
        tree.description = b"version 2 of the model, for devices of the second generation"
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = b"labels", len(tree.buffers)
        text = "\n".join(f"class {i}: thing number {i}" for i in range(40))
        buffer.data = np.frombuffer(text.encode(), np.uint8)
        tree.buffers.append(buffer)
        tree.metadata = [*(tree.metadata or []), entry]

    def names_changed(tree: schema.ModelT) -> None:
        for tensor in tree.subgraphs[0].tensors:
            tensor.name = b"new_" + bytes(tensor.name)

    for name, change in (
        ("largest tensor to float16", half_precision),
        ("layers inserted", layers_inserted),
        ("head replaced", head_replaced),
        ("rows added", rows_added),
        ("rows cut", rows_cut),
        ("buffers moved", buffers_moved),
        ("metadata changed", metadata_changed),
        ("names changed", names_changed),
    ):
        yield name, (old, rebuilt(model, change))


def read_pairs(data: Path, pair: tuple[Path, Path] | None = None) -> dict[str, Pair]:
    """Name -> (old, new); `pair` is one more, of two files."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (20, 5, 5, 1), "conv2": (50, 5, 5, 20), "fc1": (500, 800), "fc2": (10, 500)}
    latent = {name: rng.standard_t(4, size=shape) * 0.05 for name, shape in shapes.items()}
    old = lenet5(rng, 0.0, latent)
    found = {
        "LeNet-5 shapes, trained on by 2 %, clustered anew": (old, lenet5(rng, 0.02, latent)),
        "LeNet-5 shapes, trained on by 10 %, clustered anew": (old, lenet5(rng, 0.1, latent)),
    }

    def requantized(values: np.ndarray) -> np.ndarray:
        if values.dtype == np.float32:
            return values
        info = np.iinfo(values.dtype)
        moved = values * 1.0 + rng.normal(size=values.shape) * 0.4
        return np.clip(np.rint(moved), info.min, info.max).astype(values.dtype)

    def trained(values: np.ndarray) -> np.ndarray:
        if values.dtype != np.float32:
            return requantized(values)
        return (values * (1 + rng.normal(size=values.shape) * 1e-2)).astype(np.float32)

    def pruned(values: np.ndarray) -> np.ndarray:
        kept = np.abs(values) >= np.quantile(np.abs(values), 0.6)
        return np.where(kept, values, values.dtype.type(0))

    def clustered(values: np.ndarray) -> np.ndarray:
        if values.dtype != np.float32 or values.size < 200:
            return values
        flat = values.reshape(-1)
        return cluster(flat, 16, np.ones(flat.shape, bool)).reshape(values.shape)

    def read(name: str) -> bytes:
        path = data / "models" / f"{name}.tflite"
        return path.read_bytes() if path.exists() else b""

    for name in QUANTIZED:
        model = read(name)
        if model:
            stem = name.split("/")[1]
            found[f"{stem}, quantized anew"] = (model, changed_tensors(model, requantized, None))
            found[f"{stem}, largest tensor"] = (model, changed_tensors(model, requantized, 1))
            found[f"{stem}, pruned"] = (model, changed_tensors(model, pruned, None))
    model = read(FLOAT)
    if model:
        name = "pretrainedResnet (float32)"
        found[f"{name}, trained on"] = (model, changed_tensors(model, trained, None))
        found[f"{name}, largest tensor"] = (model, changed_tensors(model, trained, 1))
        found[f"{name}, pruned"] = (model, changed_tensors(model, pruned, None))
        found[f"{name}, clustered"] = (model, changed_tensors(model, clustered, None))
        found |= {f"{name}, {what}": case for what, case in structural(model, rng)}
    others = {
        "float32 to int8, kws": ("kws_ref_model_float32", "kws_ref_model"),
        "float32 to int8, ResNet8": ("pretrainedResnet", "pretrainedResnet_quant"),
        "float32 to int8, vww": ("vww_96_float", "vww_96_int8"),
    }
    for name, (a, b) in others.items():
        found[name] = (read(f"mlperf_tiny/{a}"), read(f"mlperf_tiny/{b}"))
    found["mobilenet_v1, 0.5 of 160 to 0.25 of 128"] = (
        read("coral/mobilenet_v1_0.5_160_quant"), read("coral/mobilenet_v1_0.25_128_quant"),
    )  # fmt: skip
    found["unrelated: face_detection, selfie_segmentation"] = (
        read("mediapipe/face_detection_short_range"), read("mediapipe/selfie_segmentation"),
    )  # fmt: skip
    found["unrelated: keras_lstm_mnist, micro_speech"] = (
        read("coral/keras_lstm_mnist_ptq"), read("tflite_micro/micro_speech_quantized"),
    )  # fmt: skip
    if pair is not None:
        found[f"{pair[0].stem} to {pair[1].stem}"] = (pair[0].read_bytes(), pair[1].read_bytes())
    return {name: case for name, case in found.items() if all(case)}
