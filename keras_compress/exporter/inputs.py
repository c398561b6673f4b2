"""What a model takes: names, batch-1 shapes and types, and how users' arrays map to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.errors import ExportError

__all__ = ["InputSpec", "ModelInputs", "describe_inputs", "input_names"]


@dataclass(frozen=True)
class InputSpec:
    """One input: its name in the signature, its shape with batch 1, its NumPy type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class ModelInputs:
    """A model's inputs in flat order, and `pack`, which gives them the model's structure."""

    specs: tuple[InputSpec, ...]
    pack: Callable[[list[Any]], Any]
    structure: Any

    def rows(self, data: Any, *, argument: str) -> list[np.ndarray]:
        """Return users' `data` as one array an input, samples along the first axis.

        Args:
            data: An array, or arrays in the structure of the model's inputs, or a dict from
                input names, or an iterable of batches of any of these (a `tf.data.Dataset`, a
                generator). Of `(inputs, targets)` batches of an iterable, the inputs are used.
            argument: What errors call `data`.

        Raises:
            ExportError: If number, shapes or values don't fit the model.
        """
        if _is_iterable_of_batches(data, len(self.specs)):
            batches = [self._flat(_without_targets(b, len(self.specs)), argument) for b in data]
            if not batches:
                raise ExportError(f"`{argument}` must hold samples. Received: none.")
            flat = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        else:
            flat = self._flat(data, argument)
        return [
            self._checked(array, spec, len(flat[0]), argument)
            for array, spec in zip(flat, self.specs, strict=True)
        ]

    def random_rows(self, count: int) -> list[np.ndarray]:
        """Return `count` made-up samples: standard normal numbers, zeros for integers."""
        generator = np.random.default_rng(0)
        arrays = []
        for spec in self.specs:
            shape = (count, *spec.shape[1:])
            if np.dtype(spec.dtype).kind == "f":
                arrays.append(generator.standard_normal(shape).astype(spec.dtype))
            else:
                arrays.append(np.zeros(shape, spec.dtype))
        return arrays

    def _flat(self, data: Any, argument: str) -> list[np.ndarray]:
        import keras

        names = [spec.name for spec in self.specs]
        if isinstance(data, dict) and set(data) == set(names):
            leaves = [data[name] for name in names]
        else:
            leaves = keras.tree.flatten(data)
        if len(leaves) != len(self.specs):
            raise ExportError(
                f"`{argument}` must give one array for each of the model's {len(self.specs)} "
                f"inputs ({', '.join(names)}). Received: {len(leaves)} arrays."
            )
        arrays = [np.asarray(leaf) for leaf in leaves]
        if any(array.ndim == 0 for array in arrays):
            raise ExportError(
                f"`{argument}` must give arrays with samples along the first axis. Received: a "
                "single number."
            )
        return arrays

    def _checked(self, array: np.ndarray, spec: InputSpec, count: int, argument: str) -> np.ndarray:
        if array.shape[1:] != spec.shape[1:]:
            raise ExportError(
                f"`{argument}` must hold samples of shape {spec.shape[1:]} for input "
                f"{spec.name!r}. Received: an array of shape {array.shape}."
            )
        if not len(array) or len(array) != count:
            raise ExportError(
                f"`{argument}` must give every input equally many samples, at least one. "
                f"Received: {len(array)} for {spec.name!r} and {count} for the first input."
            )
        if array.dtype.kind not in "fiub":
            raise ExportError(
                f"`{argument}` must hold numbers. Received: {array.dtype} for {spec.name!r}."
            )
        array = array.astype(spec.dtype)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(
                f"`{argument}` must be finite. Received: NaN or infinite values for {spec.name!r}."
            )
        return array


def describe_inputs(model: Any, *, samples: Any = None, input_shape: Any = None) -> ModelInputs:
    """Return what `model` takes, every dimension fixed and the batch 1.

    Args:
        model: A built `keras.Model`.
        samples: Inputs that say what the model itself leaves open (sizes, and for subclassed
            models structure and types). Defaults to `None`.
        input_shape: The shape of one sample, without the batch; for several inputs, such shapes
            in the structure of the inputs. Defaults to `None`.

    Raises:
        ExportError: If sizes stay open.
    """
    leaves, structure, names = _declared(model, samples)
    shapes = [_as_shape(shape) for shape, _ in leaves]
    if input_shape is not None:
        shapes = [(1, *shape) for shape in _given_shapes(input_shape, len(shapes))]
    elif samples is not None and not _is_iterable_of_batches(samples, len(shapes)):
        shapes = [
            _filled(shape, given)
            for shape, given in zip(shapes, _sample_shapes(samples, len(shapes)), strict=True)
        ]
    specs = []
    for name, shape, (_, dtype) in zip(names, shapes, leaves, strict=True):
        fixed = (1, *shape[1:])
        if any(size is None for size in fixed):
            raise ExportError(
                f"Every size of an input must be known. Received: input {name!r} of shape "
                f"{shape}. Pass `input_shape`, or `samples` of the size you want to run."
            )
        specs.append(InputSpec(name, fixed, dtype))

    def pack(flat: list[Any]) -> Any:
        import keras

        return flat[0] if structure is None else keras.tree.pack_sequence_as(structure, flat)

    return ModelInputs(tuple(specs), pack, structure)


def _declared(model: Any, samples: Any) -> tuple[list[tuple[Any, str]], Any, list[str]]:
    """Return (shape, type) of each input, their structure (`None`: one tensor) and names."""
    import keras

    tensors = getattr(model, "inputs", None)
    if tensors:
        # A Sequential model takes one tensor; a functional one tells how it was called.
        structure = None if isinstance(model, keras.Sequential) else model.input
        if structure is None or isinstance(structure, keras.KerasTensor):
            structure = None
        elif isinstance(structure, list | tuple) and len(structure) == 1:
            structure = list(structure)
        else:
            tensors = keras.tree.flatten(structure)
        leaves = [(tuple(t.shape), _type_name(t.dtype)) for t in tensors]
        return leaves, structure, _unique([t.name for t in tensors])
    return _declared_by_shapes(model, samples)


def _declared_by_shapes(model: Any, samples: Any) -> tuple[list[tuple[Any, str]], Any, list[str]]:
    """The same for a subclassed model, which knows at most the shapes that it was built with."""
    import keras

    if samples is not None and not _is_iterable_of_batches(samples, 1):
        leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(samples)]
        structure = None if len(leaves) == 1 and not _is_nested(samples) else samples
        described = [((None, *leaf.shape[1:]), _type_name(leaf.dtype)) for leaf in leaves]
    else:
        config = model.get_build_config() or {}
        if "input_shape" not in config:
            raise ExportError(
                f"What {model.name!r} takes isn't known: it was built without a call on one "
                "structure of inputs. Pass `samples`, in the form the model takes them."
            )
        shapes = config["input_shape"]
        paths = keras.tree.flatten(keras.tree.map_shape_structure(lambda s: _Shape(s), shapes))
        structure = (
            None
            if len(paths) == 1 and isinstance(shapes, tuple)
            else (keras.tree.map_shape_structure(lambda s: 0, shapes))
        )
        described = [(tuple(path.sizes), "float32") for path in paths]
    if structure is None:
        return described, None, ["inputs"]
    names = [
        "_".join(str(part) for part in path) if path else "inputs"
        for path, _ in keras.tree.flatten_with_path(structure)
    ]
    return described, structure, _unique(names)


@dataclass(frozen=True)
class _Shape:
    """Hides a shape from `keras.tree`, which would take the tuple apart."""

    sizes: Any


def _is_nested(data: Any) -> bool:
    return isinstance(data, list | tuple | dict)


def _is_iterable_of_batches(data: Any, inputs: int) -> bool:
    if data is None or hasattr(data, "shape") or isinstance(data, dict):
        return False
    if isinstance(data, list | tuple):
        # A list of as many arrays as there are inputs is the inputs; nested lists are numbers.
        return (
            bool(data)
            and any(_is_nested(item) for item in data)
            and all(
                hasattr(leaf, "shape")
                for item in data
                if _is_nested(item)
                for leaf in _leaves(item)
            )
        )
    return isinstance(data, Iterator) or hasattr(data, "__iter__")


def _leaves(item: Any) -> list[Any]:
    import keras

    return keras.tree.flatten(item)


def _without_targets(batch: Any, inputs: int) -> Any:
    if isinstance(batch, tuple) and len(batch) in (2, 3) and len(_leaves(batch)) != inputs:
        return batch[0]
    return batch


def _given_shapes(input_shape: Any, count: int) -> list[tuple[int, ...]]:
    import keras

    if isinstance(input_shape, tuple | list) and all(isinstance(v, int) for v in input_shape):
        shapes: list[Any] = [tuple(input_shape)]
    else:
        wrapped = keras.tree.map_shape_structure(lambda s: _Shape(s), input_shape)
        shapes = [tuple(leaf.sizes) for leaf in keras.tree.flatten(wrapped)]
    good = all(isinstance(v, int) and v > 0 for shape in shapes for v in shape)
    if len(shapes) != count or not good:
        raise ExportError(
            f"`input_shape` must give the sizes of one sample of each of the {count} inputs. "
            f"Received: input_shape={input_shape!r}."
        )
    return shapes


def _sample_shapes(samples: Any, count: int) -> list[tuple[int, ...]]:
    leaves = _leaves(samples)
    if len(leaves) != count:
        return [()] * count  # `rows` reports the number with the names of the inputs.
    return [np.shape(leaf) for leaf in leaves]


def _filled(shape: tuple[Any, ...], given: tuple[int, ...]) -> tuple[Any, ...]:
    if len(given) != len(shape):
        return shape
    return tuple(
        size if size is not None or axis == 0 else given[axis] for axis, size in enumerate(shape)
    )


def _as_shape(shape: Any) -> tuple[Any, ...]:
    return tuple(None if size is None else int(size) for size in shape)


def _type_name(dtype: Any) -> str:
    # Half-precision inputs are exported as float32, like half-precision computation.
    name = str(dtype)
    if name.startswith(("float", "bfloat")):
        return "float32"
    return name


def _unique(names: list[str]) -> list[str]:
    """Make signature argument names: valid identifiers, no two alike."""
    result: list[str] = []
    for name in names:
        clean = re.sub(r"\W", "_", name) or "input"
        if clean[0].isdigit():
            clean = f"input_{clean}"
        candidate, number = clean, 1
        while candidate in result:
            candidate, number = f"{clean}_{number}", number + 1
        result.append(candidate)
    return result


def input_names(model: Any) -> list[str]:
    """Return the names by which a model's inputs can be given.

    Raises:
        ExportError: If the model is not built.
    """
    if not getattr(model, "built", False):
        raise ExportError(f"A model has to be built. Received: {model.name!r}, not built.")
    return _declared(model, None)[2]
