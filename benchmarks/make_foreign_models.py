"""Writes `.tflite` files of kinds that no exporter of ours writes, a folder a kind.

    python benchmarks/make_foreign_models.py OUT [--data FOLDER] [--each 100] [--vela PROGRAM]

Every file is made from a seed, of material that a machine with Python has: the text of its
standard library and packages, nets with random weights trained on nothing, graphs of the TFLite
converter. Accelerator options are what Arm's Vela compiler (`pip install ethos-u-vela`, in an
environment of its own) makes of the int8 files under `--data`, in its own configurations; where the
program isn't there, the kind is left out and named.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.packing.foreign_models import Foreign, nibbles
from tests.packing.quantizers import QUANTIZERS, model_of
from tests.packing.quantizers import blockwise as made

_T, _OP = schema.TensorType, schema.BuiltinOperator
_VELA_CONFIGURATIONS = [
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256",
    "ethos-u65-512", "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024",
]  # fmt: skip
# The nets at hand take one to twenty seconds.
_VELA_SECONDS = 60


@cache
def _sources() -> tuple[str, ...]:
    """Texts of the standard library, in an order that doesn't depend on the machine."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(p for p in folder.glob("**/*.py") if "site-packages" not in p.parts)
    texts = [p.read_text(encoding="utf-8", errors="replace") for p in paths]
    return tuple(t for t in texts if 5_000 < len(t) < 200_000)


def _words(rng: np.random.Generator, count: int) -> list[tuple[str, int]]:
    """The `count` most frequent words of some of the texts, with how often they occur."""
    chosen = rng.choice(len(_sources()), 60, replace=False)
    pattern = [r"[A-Za-z]+", r"[A-Za-z_]\w*", r"\w+|[^\w\s]+"][int(rng.integers(3))]
    counts = Counter(w for i in chosen for w in re.findall(pattern, _sources()[i]))
    return counts.most_common(count)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _sentencepiece(words: list[tuple[str, int]]) -> bytes:
    """A ModelProto of SentencePiece: pieces with their log probability and kind."""
    total = sum(n for _, n in words)
    out = bytearray()
    for i, (word, n) in enumerate([("<unk>", 0), ("<s>", 0), ("</s>", 0), *words]):
        text = (word if i < 3 else "\u2581" + word).encode()
        score = np.float32(np.log(n / total)) if n else np.float32(0)
        piece = b"\n" + _varint(len(text)) + text + b"\x15" + score.tobytes()
        if i < 3:
            piece += b"\x18" + bytes([2 if i == 0 else 3])
        out += b"\n" + _varint(len(piece)) + piece
    return bytes(out)


def _merges(words: list[tuple[str, int]]) -> bytes:
    """A tokenizer's JSON: a vocabulary and merges of its pieces."""
    vocabulary = {word: i for i, (word, _) in enumerate(words)}
    merges = [f"{word[:-1]} {word[-1]}" for word in vocabulary if len(word) > 1]
    return json.dumps({"model": {"type": "BPE", "vocab": vocabulary, "merges": merges}}).encode()


def _embedding(f: Foreign, rng: np.random.Generator, rows: int) -> None:
    table = np.clip(rng.normal(0, 25, (rows, 8)).round(), -127, 127).astype(np.int8)
    f.tensor("embedding", _T.INT8, table.shape, f.buffer(table.tobytes()))


def vocabulary(rng: np.random.Generator) -> bytes:
    """A text model: its vocabulary in a tensor of bytes, in one of four forms."""
    f = Foreign()
    words = _words(rng, int(rng.integers(2_000, 12_000)))
    data = [
        lambda: _sentencepiece(words),
        lambda: "\n".join(w for w, _ in words).encode(),
        lambda: "\n".join(f"{w} {i}" for i, (w, _) in enumerate(sorted(words))).encode(),
        lambda: _merges(words),
    ][int(rng.integers(4))]()
    f.tensor("vocabulary", _T.UINT8, (len(data),), f.buffer(data))
    _embedding(f, rng, 500)
    return f.finish()


def strings(rng: np.random.Generator) -> bytes:
    """Tensors of strings, as look-up tables hold their keys, beside their integer values."""
    f = Foreign()
    words = [w.encode() for w, _ in _words(rng, int(rng.integers(1_500, 9_000)))]
    if rng.integers(2):
        words.sort()
    ends = np.cumsum([4 * (len(words) + 2), *map(len, words)]).astype("<i4")
    data = len(words).to_bytes(4, "little") + ends.tobytes() + b"".join(words)
    f.tensor("keys", _T.STRING, (len(words),), f.buffer(data))
    kind, values = [
        (_T.INT64, np.arange(len(words), dtype="<i8")),
        (_T.INT32, rng.permutation(len(words)).astype("<i4")),
    ][int(rng.integers(2))]
    f.tensor("values", kind, values.shape, f.buffer(values.tobytes()))
    return f.finish()


def metadata(rng: np.random.Generator) -> bytes:
    """A classifier with a metadata buffer and a zip of its associated files behind the model."""
    f = Foreign()
    weights = np.clip(rng.normal(0, 30, (int(rng.integers(40, 400)), 256)).round(), -127, 127)
    f.tensor("w", _T.INT8, weights.shape, f.buffer(weights.astype(np.int8).tobytes()))
    entry = schema.MetadataT()
    text = _sources()[int(rng.integers(len(_sources())))][:6000]
    entry.name, entry.buffer = "TFLITE_METADATA", f.buffer(b"\x1c\0\0\0M001" + text.encode())
    f.model.metadata = [entry]
    packed = io.BytesIO()
    method = [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED][int(rng.integers(2))]
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name in ("labels.txt", "vocab.txt", "README.md")[: 1 + int(rng.integers(3))]:
            words = "\n".join(w for w, _ in _words(rng, int(rng.integers(500, 5_000))))
            archive.writestr(zipfile.ZipInfo(name), words, method)
    return f.finish() + packed.getvalue()


def _weights(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    # Rows of unlike spread, like those of a trained net.
    spread = np.exp(rng.normal(-3, 0.6, (rows, 1)))
    heavy = rng.standard_t(5, (rows, columns)) if rng.integers(2) else rng.normal(
        size=(rows, columns)
    )  # fmt: skip
    return (heavy * spread).astype(np.float32)


def int4(rng: np.random.Generator) -> bytes:
    """Matrices of int4, two numbers a byte, with a scale a row or a block."""
    f = Foreign()
    for i in range(int(rng.integers(1, 5))):
        rows, columns = int(rng.integers(4, 24)) * 16, int(rng.integers(4, 24)) * 32
        block = [columns, 32, 64][int(rng.integers(3))]
        while columns % block:
            block //= 2
        w = _weights(rng, rows, columns).reshape(rows, -1, block)
        scale = np.abs(w).max(-1, keepdims=True) / 7
        q = np.clip(np.round(w / scale), -8, 7).reshape(rows, columns)
        tensor = f.tensor(f"w{i}", _T.INT4, q.shape, f.buffer(nibbles(q, 4)))
        if block == columns:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scale.reshape(-1).astype(np.float32)
            tensor.quantization.zeroPoint = [0] * rows
        else:
            half = scale.reshape(rows, -1).astype(np.float16)
            f.tensor(f"scales{i}", _T.FLOAT16, half.shape, f.buffer(half.tobytes()))
        f.operator(_OP.FULLY_CONNECTED, [0, 0, -1], [0])
    return f.finish()


def blockwise(rng: np.random.Generator) -> bytes:
    """Float matrices that are a small integer times a scale a block, dequantized ahead of time."""
    f = Foreign()
    for i in range(int(rng.integers(1, 4))):
        rows, columns = int(rng.integers(4, 20)) * 8, int(rng.integers(2, 10)) * 64
        block, bits = int(2 ** rng.integers(4, 8)), int(rng.choice([3, 4, 4, 4, 8]))
        w = _weights(rng, rows, columns)
        along_rows = bool(rng.integers(4))
        if not along_rows:
            w = w.T.copy()
        while w.shape[1] % block:
            block //= 2
        top = 2 ** (bits - 1) - 1
        w = w.reshape(w.shape[0], -1, block)
        scale = (np.abs(w).max(-1, keepdims=True) / top).astype(np.float32)
        if rng.integers(2):
            scale = scale.astype(np.float16).astype(np.float32)
        values = (np.clip(np.round(w / scale), -top - 1, top) * scale).astype(np.float32)
        values = values.reshape(values.shape[0], -1)
        values = np.ascontiguousarray(values if along_rows else values.T)
        f.tensor(f"w{i}", _T.FLOAT32, values.shape, f.buffer(values.tobytes()))
    return f.finish()


def dequantized(rng: np.random.Generator) -> bytes:
    """What GGUF's Q4_0, Q4_1 and Q8_0, NF4 and zero points leave, in float32 or float16."""
    dtype = ["float32", "float32", "float16"][int(rng.integers(3))]
    names = sorted(QUANTIZERS) if dtype == "float32" else ["int4", "q4_0", "q4_1", "zero_point"]
    tensors = {}
    for i in range(int(rng.integers(1, 4))):
        block = int(rng.choice([16, 32, 32, 64, 128, 256]))
        shape = int(rng.integers(3, 20)) * 8, int(rng.integers(1, 6)) * 256
        axis = int(rng.integers(4) > 0)
        if axis == 0:
            shape = shape[1] // 2, shape[0]
        name = names[int(rng.integers(len(names)))]
        block = block if shape[axis] % block == 0 else shape[axis]
        seed = int(rng.integers(1 << 30))
        tensors[f"{name}{i}"] = made(name, shape, block, axis=axis, seed=seed)
    return model_of(tensors, dtype)


def int2(rng: np.random.Generator) -> bytes:
    """Matrices of int2 or uint4, four or two numbers a byte."""
    f = Foreign()
    for i in range(int(rng.integers(1, 4))):
        shape = int(rng.integers(40, 400)), int(rng.integers(8, 24)) * 16
        w = _weights(rng, *shape)
        w /= np.abs(w).mean(1, keepdims=True)
        bits, kind = ((2, _T.INT2), (4, _T.UINT4))[int(rng.integers(2))]
        q = np.clip(np.round(w), -2, 1) if bits == 2 else np.clip(np.round(w * 2 + 8), 0, 15)
        f.tensor(f"w{i}", kind, q.shape, f.buffer(nibbles(q, bits)))
    return f.finish()


def loops(rng: np.random.Generator) -> bytes:
    """What TFLite's converter makes of loops, branches and several signatures."""
    import tensorflow as tf

    width, depth = int(rng.integers(40, 120)), int(rng.integers(2, 6))
    kernels = [_weights(rng, width, width) for _ in range(depth)]

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, width], tf.float32)])
        def loop(self, x):
            def body(i, state):
                for kernel in kernels:
                    state = tf.nn.relu(state @ kernel)
                return i + 1, state

            return tf.while_loop(lambda i, _: i < 5, body, [tf.constant(0), x])[1]

        @tf.function(input_signature=[tf.TensorSpec([1, width], tf.float32)])
        def branch(self, x):
            return tf.cond(
                tf.reduce_sum(x) > 0, lambda: x @ kernels[0], lambda: tf.tanh(x @ kernels[-1])
            )

    module = Module()
    functions = [module.loop.get_concrete_function(), module.branch.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        functions if rng.integers(2) else functions[:1], module
    )
    if rng.integers(2):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def variables(rng: np.random.Generator) -> bytes:
    """Models with resource variables: a step of training on the device, and a look-up."""
    import tensorflow as tf

    inputs, hidden = int(rng.integers(40, 160)), int(rng.integers(40, 160))

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(_weights(rng, inputs, hidden))
            self.b = tf.Variable(tf.zeros([hidden]))
            self.v = tf.Variable(_weights(rng, hidden, 4))

        @tf.function(
            input_signature=[
                tf.TensorSpec([8, inputs], tf.float32), tf.TensorSpec([8, 4], tf.float32)
            ]
        )  # fmt: skip
        def train(self, x, y):
            h = tf.nn.relu(x @ self.w + self.b)
            error = h @ self.v - y
            back = tf.matmul(error, self.v, transpose_b=True) * tf.cast(h > 0, tf.float32)
            self.v.assign_sub(0.01 * tf.matmul(h, error, transpose_a=True))
            self.w.assign_sub(0.01 * tf.matmul(x, back, transpose_a=True))
            self.b.assign_sub(0.01 * tf.reduce_sum(back, 0))
            return {"loss": tf.reduce_mean(error * error)}

        @tf.function(input_signature=[tf.TensorSpec([1, inputs], tf.float32)])
        def infer(self, x):
            return {"y": tf.nn.relu(x @ self.w + self.b) @ self.v}

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.train.get_concrete_function(), module.infer.get_concrete_function()], module
    )
    converter.experimental_enable_resource_variables = True
    return converter.convert()


def accelerator(data: Path, vela: str, work: Path) -> Iterator[tuple[str, bytes]]:
    """What Vela makes of the int8 files under `data`, in each configuration.

    In an order that takes all files and configurations in turn, so that any first part of it is
    mixed; a large net that takes more than `_VELA_SECONDS` is named and left out.
    """
    files = [p for p in sorted(data.rglob("*.tflite")) if re.search("int8|quant|ptq", p.name)]
    compilations = list(itertools.product(files, _VELA_CONFIGURATIONS, ("Performance", "Size")))
    for i in np.random.default_rng(0).permutation(len(compilations)):
        path, configuration, optimise = compilations[i]
        shutil.rmtree(work, ignore_errors=True)
        command = [vela, str(path), "--accelerator-config", configuration, "--optimise", optimise]
        name = f"{path.stem}_{configuration}_{optimise}"
        try:
            done = subprocess.run(
                [*command, "--output-dir", str(work)], capture_output=True, timeout=_VELA_SECONDS
            )
        except subprocess.TimeoutExpired:
            print(f"accelerator: {name} left out, Vela takes over {_VELA_SECONDS} s", flush=True)
            continue
        made = sorted(work.glob("*_vela.tflite")) if done.returncode == 0 else []
        if made:
            yield name, made[0].read_bytes()


KINDS: dict[str, Callable[[np.random.Generator], bytes]] = {
    "vocabulary": vocabulary, "strings": strings, "metadata_zip": metadata, "int4": int4,
    "blockwise": blockwise, "loops_signatures": loops, "resource_variables": variables,
    "dequantized": dequantized, "int2": int2,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=None, help="a folder with int8 .tflite files")
    parser.add_argument("--each", type=int, default=100, help="files of each kind")
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, "accelerator"])
    parser.add_argument("--vela", default="vela", help="Arm's compiler")
    args = parser.parse_args()
    for number, (kind, make) in enumerate(KINDS.items()):
        if kind not in args.kinds:
            continue
        folder = args.out / kind
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(args.each):
            path = folder / f"{kind}_{i:03}.tflite"
            path.write_bytes(make(np.random.default_rng([number, i])))
        print(f"{kind}: {args.each} files")
    if "accelerator" in args.kinds:
        if args.data is None or shutil.which(args.vela) is None:
            print("accelerator: left out, for it needs --data and Vela (pip install ethos-u-vela)")
            return 0
        folder = args.out / "accelerator"
        folder.mkdir(parents=True, exist_ok=True)
        work = args.out / "vela_work"
        made = 0
        for name, model in itertools.islice(accelerator(args.data, args.vela, work), args.each):
            (folder / f"{name}.tflite").write_bytes(model)
            made += 1
        shutil.rmtree(work, ignore_errors=True)
        print(f"accelerator: {made} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
