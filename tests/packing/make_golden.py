"""Writes the golden files: packed files, and sums of what they restore to.

    PYTHONPATH=. python tests/packing/make_golden.py

Until the first release they are written anew whenever the format changes; after it never again:
a new version of the format adds its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_compress import packing, storage
from tests.packing.foreign_models import Foreign, nibbles, small_integers
from tests.packing.quantizers import blockwise
from tests.packing.test_channel_books import folded
from tests.packing.test_general import addresses
from tests.packing.test_sparse_floats import pruned
from tests.packing.tflite_models import build_model, every_kind

GOLDEN = Path(__file__).with_name("golden")
_TEXT = b"".join(b"layer_%d/kernel and layer_%d/bias follow; " % (i, i) for i in range(90))


def _kinds() -> dict[str, np.ndarray]:
    """Every kind but tensors that take the reader in plain Python minutes."""
    return {k: v for k, v in every_kind().items() if k not in ("table", "wide words")}


def _moved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As a little more training leaves them: for a patch."""
    rng = np.random.default_rng(8)
    new = {}
    for name, values in tensors.items():
        if "codebook" in name or name == "clustered":
            new[name] = np.roll(values, 3)
        elif values.dtype in (np.int8, np.uint8):
            moves = rng.integers(0, 2, values.shape)
            new[name] = (values.astype(np.int64) - moves).clip(-127, 255).astype(values.dtype)
        elif values.dtype in (np.float16, np.float32) and name not in ("zeros", "tied"):
            new[name] = (values * (1 + rng.normal(size=values.shape) * 1e-3)).astype(values.dtype)
        else:
            new[name] = values
    return new


def _blocks() -> bytes:
    """Blocks of each kind, and elements of less than a byte."""
    f = Foreign()
    for name, block, axis in (("int4", 32, 1), ("q4_1", 16, 0), ("nf4", 64, 1)):
        values = blockwise(name, (16, 64), block, axis=axis)
        f.tensor(name, schema.TensorType.FLOAT32, values.shape, f.buffer(values.tobytes()))
    half = blockwise("q4_0", (16, 64), 32).astype(np.float16)
    f.tensor("q4_0", schema.TensorType.FLOAT16, half.shape, f.buffer(half.tobytes()))
    for name, (kind, bits, values) in small_integers().items():
        f.tensor(name, kind, values.shape, f.buffer(nibbles(values, bits)))
    return f.finish()


def _originals() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """For each original its bytes, and the codecs."""
    rng = np.random.default_rng(1)
    channels = {
        "rows": folded((24, 3, 3, 8), 16, "float32", zeros=0.6),
        "columns": folded((1, 5, 5, 90), 9, "float16", axis=3),
        "bytes": folded((40, 90), 12, "int8"),
    }
    sparse = {
        "float": pruned((30, 20), 0.7, "float32"),
        "half": pruned((30, 20), 0.4, "float16"),
    }
    sparse["float"][3, 4:8] = -0.0
    multiples = rng.integers(-6, 9, (9, 20)) * (rng.uniform(size=(9, 20)) < 0.4)
    noise = rng.integers(-30000, 30000, 33000).astype(np.int16)
    grid = {"grid": (multiples * 0.1171875 + 0.0).astype(np.float32)}
    return {
        "empty": (b"", ("fast",)),
        "stored": (rng.bytes(300), ("fast",)),
        "text": (_TEXT, ("fast", "smallest")),
        "kinds": (build_model(_kinds(), per_channel_scales=7), ("fast", "small", "smallest")),
        "long": (build_model({"words": noise}), ("fast",)),  # too long for a compact frame
        "channels": (build_model(channels), ("fast", "small", "smallest")),
        "sparse": (build_model(sparse), ("fast", "small", "smallest")),
        "grid": (build_model(grid), ("fast", "smallest")),
        "blocks": (_blocks(), ("fast", "small", "smallest")),
        "addresses": (build_model({"addresses": addresses(100)}), ("small",)),
    }


def main() -> None:
    """Write all of them."""
    sums = {}
    for path in GOLDEN.glob("*.kcz"):
        path.unlink()

    def write(name: str, original: bytes, packed: bytes) -> None:
        storage.write_atomic(GOLDEN / name, packed)
        sums[name] = hashlib.sha256(original).hexdigest()
        print(f"{name}: {len(original)} -> {len(packed)}")

    originals = _originals()
    for name, (original, codecs) in originals.items():
        for codec in codecs:
            write(f"{name}_{codec}.kcz", original, packing.pack(original, codec=codec))
    old, new = originals["kinds"][0], build_model(_moved(_kinds()), per_channel_scales=7)
    write("patch.kcz", new, packing.pack(new, base=old))
    text = json.dumps(sums, indent=1, sort_keys=True) + "\n"
    storage.write_atomic(GOLDEN / "sums.json", text)


if __name__ == "__main__":
    main()
