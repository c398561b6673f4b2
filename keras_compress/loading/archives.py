"""What a file of Keras 2 holds, read without running anything in it: configuration and weights.

An `.h5` file and a SavedModel list the weights of each outermost layer in Keras 2's order, those
of submodels in one line; a `.keras` file of TF-Keras has them layer by layer.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ModelFileError

if TYPE_CHECKING:
    import keras

__all__ = ["Archive", "is_keras_3", "read_archive"]

#: Of the names under which TF-Keras files the parts of composite layers, in the order of weights.
_PARTS = (
    "cell",
    "cells",
    "layer",
    "forward_layer",
    "backward_layer",
    "_query_dense",
    "_key_dense",
    "_value_dense",
    "_output_dense",
)
_MAX_CONFIG_BYTES = 1 << 28
#: HDF5's own compression makes no more of zeros.
_MAX_EXPANSION = 1100


@dataclass
class Archive:
    """What was read.

    Attributes:
        kind: "h5", "keras" or "saved_model".
        model: The model as Keras 2 serializes it, or `None` in a file of weights alone.
        weights: By the outermost layer's name (`kind` "keras": by its path in the file, for every
            leaf layer): names and values in Keras 2's order.
        version: The version of Keras that wrote it, as far as it says.
        original: Of a SavedModel, what TensorFlow loaded.
    """

    kind: str
    model: dict[str, Any] | None
    weights: dict[str, list[tuple[str, np.ndarray]]] = field(default_factory=dict)
    version: str = "unknown"
    original: keras.Model = None


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """Read a file of Keras 2 or TF-Keras.

    Raises:
        ModelFileError: If it is none, or damaged.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_saved_model(path)
        if not path.is_file():
            raise ModelFileError(
                f"A saved model is a file or folder. Received: {path}, which isn't there."
            )
        if zipfile.is_zipfile(path):
            return _read_keras(path)
        with path.open("rb") as file:
            magic = file.read(8)
        if magic == b"\x89HDF\r\n\x1a\n":
            return _read_h5(path)
    except (ModelFileError, MemoryError):
        raise
    except Exception as error:
        # h5py, zipfile, json and TensorFlow have no common exception for damage.
        text = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path} is damaged: {type(error).__name__}: {text}") from error
    raise ModelFileError(
        "A saved model is a .keras or .h5 file or a SavedModel's folder. Received: "
        f"{path} with {path.stat().st_size} bytes of something else."
    )


def is_keras_3(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a `.keras` file that Keras 3 wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(_member(archive, "metadata.json")).get("keras_version", "")
    except (OSError, KeyError, ValueError, AttributeError, zipfile.BadZipFile):
        return False
    return isinstance(version, str) and version[:1].isdigit() and int(version.split(".")[0]) >= 3


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    size = archive.getinfo(name).file_size
    if size > _MAX_CONFIG_BYTES:
        raise ModelFileError(
            f"{name} of a .keras file has {size} bytes: more than any model needs."
        )
    return archive.read(name)


def _model_config(text: Any) -> dict[str, Any]:
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    found = json.loads(text)
    if not isinstance(found, dict) or "class_name" not in found or "config" not in found:
        raise ModelFileError("A model's configuration names its class. Received one that doesn't.")
    return _without_tuples(found)


def _without_tuples(value: object) -> Any:
    """Return a configuration in which what JSON has no word for, tuples and shapes, are lists."""
    if isinstance(value, list):
        return [_without_tuples(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return _without_tuples(value["items"])
    return {key: _without_tuples(each) for key, each in value.items()}


def _text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _read_h5(path: Path) -> Archive:
    import h5py

    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs:
            raise ModelFileError(
                f"An .h5 file of Keras 2 names its layers. Received: {path}, which doesn't. "
                "A `.weights.h5` file of Keras 3 is read by `model.load_weights`."
            )
        weights = {}
        for layer in map(_text, _attribute(group, "layer_names")):
            names = [_text(n) for n in _attribute(_inside(group, layer), "weight_names")]
            weights[layer] = [(n, _numbers(_inside(group[layer], n))) for n in names]
        version = _text(group.attrs.get("keras_version", "unknown"))
    return Archive("h5", None if config is None else _model_config(config), weights, version)


def _inside(group: Any, path: str) -> Any:
    """Return what `path` names in an HDF5 group, if no link leads out of the file."""
    found = group[path]
    if found.file.filename != group.file.filename:
        raise ModelFileError(f"Weights stand in the file itself. Received: {path!r} in another.")
    return found


def _attribute(group: Any, name: str) -> list[Any]:
    """Return a list of names, which Keras cuts into numbered parts where it is long."""
    if name in group.attrs:
        return list(group.attrs[name])
    parts, found = 0, []
    while f"{name}{parts}" in group.attrs:
        found += list(group.attrs[f"{name}{parts}"])
        parts += 1
    return found


def _numbers(dataset: Any) -> np.ndarray:
    if not hasattr(dataset, "shape") or dataset.dtype.kind not in "fiub":
        raise ModelFileError("Weights are arrays of numbers. Received something else in the file.")
    if dataset.external or dataset.is_virtual:
        raise ModelFileError(
            f"Weights stand in the file itself. Received: {dataset.name!r} of another file."
        )
    if dataset.nbytes > _MAX_EXPANSION * dataset.id.get_storage_size():
        raise ModelFileError(
            f"{dataset.name!r} would take {dataset.nbytes} bytes and has "
            f"{dataset.id.get_storage_size()} in the file: it is damaged."
        )
    return np.asarray(dataset)


def _read_keras(path: Path) -> Archive:
    import h5py

    with zipfile.ZipFile(path) as archive:
        config = _model_config(_member(archive, "config.json"))
        metadata = json.loads(_member(archive, "metadata.json"))
        with archive.open("model.weights.h5") as member:
            stored = member.read()
    weights: dict[str, list[tuple[str, np.ndarray]]] = {}
    with h5py.File(io.BytesIO(stored), "r") as file:
        root = "_layer_checkpoint_dependencies" if "layers" not in file else "layers"
        if root in file:
            for name, group in file[root].items():
                _gather(name, group, root, weights)
    version = metadata.get("keras_version", "unknown")
    return Archive("keras", config, weights, str(version))


def _gather(path: str, group: Any, root: str, weights: dict[str, Any]) -> None:
    if path.rpartition("/")[2].startswith("prune_low_magnitude") and "layer" in group:
        group = group["layer"]
    if root in group and len(group[root]):
        for name, inner in group[root].items():
            _gather(f"{path}/{name}", inner, root, weights)
        return
    found = _leaf(group, path)
    if found:
        weights[path] = found


def _leaf(group: Any, path: str) -> list[tuple[str, np.ndarray]]:
    own = []
    if "vars" in group:
        numbered = sorted(_inside(group, "vars"), key=int)
        own = [(f"{path}/vars/{n}", _numbers(_inside(group["vars"], n))) for n in numbered]
    parts = [name for name in group if name != "vars" and _holds_arrays(group[name])]
    if path.endswith("/cells") and len({name.rstrip("_0123456789") for name in parts}) > 1:
        raise ModelFileError(
            "A .keras file of TF-Keras doesn't say the order of recurrent cells of several "
            f"kinds. Received: {', '.join(parts)} in {path!r}. Save the model as .h5."
        )
    for name in sorted(parts, key=_part_order):
        own += _leaf(group[name], f"{path}/{name}")
    return own


def _holds_arrays(group: Any) -> bool:
    if not hasattr(group, "items"):
        return False
    return any(
        hasattr(each, "shape") if not hasattr(each, "items") else _holds_arrays(each)
        for each in group.values()
    )


def _part_order(name: str) -> tuple[int, int, str]:
    if name in _PARTS:
        return (0, _PARTS.index(name), name)
    # Cells of a stack: "lstm_cell", "lstm_cell_1" ...
    stem, _, number = name.rpartition("_")
    return (1, int(number) if stem and number.isdigit() else 0, name)


def _read_saved_model(path: Path) -> Archive:
    if not (path / "saved_model.pb").is_file():
        raise ModelFileError(
            f"A SavedModel's folder holds a saved_model.pb. Received: {path} without."
        )
    metadata = path / "keras_metadata.pb"
    if not metadata.is_file():
        raise ModelFileError(
            "A SavedModel can be opened when Keras saved it, with its keras_metadata.pb. "
            f"Received: {path} without; its graph can be run by `keras.layers.TFSMLayer`, but "
            "has no layers to train."
        )
    nodes = _metadata_nodes(metadata.read_bytes())
    if "root" not in nodes:
        raise ModelFileError(f"{metadata} has no root: it is damaged or no model's.")
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    model = _without_tuples(
        {"class_name": nodes["root"].get("class_name"), "config": nodes["root"].get("config")}
    )
    weights = {}
    for place, facts in nodes.items():
        if place.count(".") != 1 or not isinstance(facts.get("name"), str):
            continue
        child: Any = getattr(loaded, place.partition(".")[2], None)
        variables = list(getattr(child, "variables", []) or [])
        if not variables and all(hasattr(child, each) for each in ("mean", "variance", "count")):
            # Statistics of a Normalization are no weights to Keras 2.
            variables = [child.mean, child.variance, child.count]
        trainable = list(getattr(child, "trainable_variables", []) or [])
        known = {id(v) for v in trainable}
        ordered = trainable + [v for v in variables if id(v) not in known]
        weights[facts["name"]] = [(v.name.partition(":")[0], v.numpy()) for v in ordered]
    return Archive(
        "saved_model", model, weights, str(nodes["root"].get("keras_version", "2")), loaded
    )


def _metadata_nodes(data: bytes) -> dict[str, dict[str, Any]]:
    """Return the JSON of each object by its path, from a serialized `SavedMetadata`.

    Field 1 repeats a `SavedObject`, which has its path in field 3 and its JSON in field 5
    (tf_keras/protobuf/saved_metadata.proto).
    """
    nodes = {}
    for tag, value in _fields(data):
        if tag != 1 or not isinstance(value, bytes):
            continue
        strings = {number: text for number, text in _fields(value) if isinstance(text, bytes)}
        if 3 in strings and 5 in strings:
            found = json.loads(strings[5].decode("utf-8"))
            if isinstance(found, dict):
                nodes[strings[3].decode("utf-8")] = found
    return nodes


def _fields(data: bytes) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ModelFileError("keras_metadata.pb has a number of more than 64 bits.")

    while place < len(data):
        key = varint()
        wire = key & 7
        if wire == 0:
            found.append((key >> 3, varint()))
        elif wire == 2:
            size = varint()
            if size > len(data) - place:
                raise ModelFileError("keras_metadata.pb is cut short.")
            found.append((key >> 3, data[place : place + size]))
            place += size
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
        else:
            raise ModelFileError("keras_metadata.pb is no protocol buffer.")
    return found
