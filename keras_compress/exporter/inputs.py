"""What a model takes: names, batch-1 shapes and types, and how users' arrays map to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.samples import array_of, gathered, is_nested

if TYPE_CHECKING:
    import keras

__all__ = ["InputSpec", "ModelInputs", "describe_inputs", "gathered_samples", "input_names"]

# What the inputs of a TFLite file with built-in operators can hold.
_DTYPES = ("float32", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")


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

    def rows(self, data: object, *, argument: str) -> list[np.ndarray]:
        """Return users' `data` as one array an input, samples along the first axis.

        Args:
            data: An array, or arrays in the structure of the model's inputs, or a dict from
                input names, as `gathered_samples` returns them.
            argument: What errors call `data`.

        Raises:
            ExportError: If number, shapes or values don't fit the model.
        """
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

    def _flat(self, data: object, argument: str) -> list[np.ndarray]:
        names = [spec.name for spec in self.specs]
        leaves = _by_name(data, names)
        if len(leaves) != len(self.specs):
            raise ExportError(
                f"`{argument}` must give one array for each of the model's {len(self.specs)} "
                f"inputs ({', '.join(names)}). Received: {len(leaves)} arrays."
            )
        return [array_of(leaf, argument) for leaf in leaves]

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
        given, array = array, _as_type(array, spec.dtype)
        if array.dtype.kind in "iub" and not np.array_equal(array, given):
            wrong = given[array != given][0]
            raise ExportError(
                f"`{argument}` must hold values of type {spec.dtype} for input {spec.name!r}. "
                f"Received: {wrong} in an array of {given.dtype}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(
                f"`{argument}` must be finite. Received: NaN or infinite values for {spec.name!r}."
            )
        return array


def describe_inputs(
    model: keras.Model, *, samples: object = None, input_shape: object = None
) -> ModelInputs:
    """Return what `model` takes, every dimension fixed and the batch 1.

    Args:
        model: A built `keras.Model`.
        samples: Inputs, as `gathered_samples` returns them, that say what the model itself
            leaves open (sizes, and for subclassed models structure and types). Defaults to `None`.
        input_shape: The shape of one sample, without the batch; for several inputs, such shapes
            in the structure of the inputs. Defaults to `None`.

    Raises:
        ExportError: If sizes stay open, or an input is of a type that TFLite lacks.
    """
    leaves, structure, names = _declared(model, samples)
    shapes = [_as_shape(shape) for shape, _ in leaves]
    if input_shape is not None:
        shapes = [(1, *shape) for shape in _given_shapes(input_shape, len(shapes))]
    elif samples is not None:
        shapes = [
            _filled(shape, given)
            for shape, given in zip(shapes, _sample_shapes(samples, names), strict=True)
        ]
    specs = []
    for name, shape, (_, dtype) in zip(names, shapes, leaves, strict=True):
        if dtype not in _DTYPES:
            raise ExportError(
                "An input of a TFLite file holds numbers or booleans. Received: input "
                f"{name!r} of type {dtype}. Export the part of the model behind the layer that "
                "turns these into numbers, and do that step in the app."
            )
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


def _declared(model: keras.Model, samples: object) -> tuple[list[tuple[Any, str]], Any, list[str]]:
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
        return leaves, structure, _unique(_functional_names(structure, tensors))
    return _declared_by_shapes(model, samples)


def _functional_names(structure: object, tensors: list[Any]) -> list[str]:
    """Names by which a functional model is given its inputs: keys, where it takes a dict.

    The tensors behind the keys may have names of their own, even each other's.
    """
    import keras

    paths = [] if structure is None else [p for p, _ in keras.tree.flatten_with_path(structure)]
    if not any(isinstance(part, str) for path in paths for part in path):
        return [tensor.name for tensor in tensors]
    return ["_".join(str(part) for part in path) for path in paths]


def _declared_by_shapes(
    model: keras.Model, samples: object
) -> tuple[list[tuple[Any, str]], Any, list[str]]:
    """The same for a subclassed model, which knows at most the shapes that it was built with."""
    import keras

    if samples is not None:
        leaves = [array_of(leaf, "samples") for leaf in keras.tree.flatten(samples)]
        structure = None if len(leaves) == 1 and not is_nested(samples) else samples
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


def _given_shapes(input_shape: object, count: int) -> list[tuple[int, ...]]:
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


def _sample_shapes(samples: object, names: list[str]) -> list[tuple[int, ...]]:
    leaves = _by_name(samples, names)
    if len(leaves) != len(names):
        return [()] * len(names)  # `rows` reports the number with the names of the inputs.
    return [np.shape(leaf) for leaf in leaves]


def _by_name(data: object, names: list[str]) -> list[Any]:
    """The leaves of `data` in the order of the inputs, whose names a flat dict may have as keys."""
    import keras

    if isinstance(data, dict) and set(data) == set(names):
        return [data[name] for name in names]
    leaves: list[Any] = keras.tree.flatten(data)
    return leaves


def _filled(shape: tuple[Any, ...], given: tuple[int, ...]) -> tuple[Any, ...]:
    if len(given) != len(shape):
        return shape
    return tuple(
        size if size is not None or axis == 0 else given[axis] for axis, size in enumerate(shape)
    )


def _as_shape(shape: Any) -> tuple[Any, ...]:
    return tuple(None if size is None else int(size) for size in shape)


def _type_name(dtype: object) -> str:
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


def _as_type(array: np.ndarray, dtype: str) -> np.ndarray:
    # What doesn't fit the type is refused by its value, so NumPy need not warn of it.
    with np.errstate(invalid="ignore", over="ignore"):
        return array.astype(dtype)


def gathered_samples(model: keras.Model, data: object, *, argument: str) -> Any:
    """Return users' `data` as arrays in the structure of `model`'s inputs, batches put together.

    Raises:
        ExportError: If `data` has none of the forms that `convert` takes.
    """
    tensors = getattr(model, "inputs", None)
    if not tensors:
        return gathered(data, None, argument=argument)
    import keras

    single = isinstance(model, keras.Sequential)
    return gathered(data, tensors[0] if single else model.input, argument=argument)


def input_names(model: keras.Model) -> list[str]:
    """Return the names by which a model's inputs can be given.

    Raises:
        ExportError: If the model is not built.
    """
    if not getattr(model, "built", False):
        raise ExportError(f"A model has to be built. Received: {model.name!r}, not built.")
    return _declared(model, None)[2]
