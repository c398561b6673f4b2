"""From a Keras model to a TensorFlow function, with a record of what each layer computed.

The model itself is not changed. While it is traced, its layers' `call` is shadowed on the
instance, and half-precision policies are swapped for float32; both are put back before the
function returns, whatever happens.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ExportError, KerasCompressError
from keras_compress.exporter.checks import layers_of
from keras_compress.exporter.handlers import handler_for
from keras_compress.exporter.inputs import ModelInputs

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["LayerOutput", "Trace", "computing_in_float32", "run_layers", "run_model", "trace_model"]

# Shadowing `call` on instances can't be done twice at once over the same layers.
_LOCK = threading.RLock()

PROBE = "kept_apart_"


@dataclass(frozen=True)
class LayerOutput:
    """One tensor that a layer returned: the layer's path, its class and the tensor or value."""

    path: str
    kind: str
    value: Any


@dataclass
class Trace:
    """A traced model.

    Attributes:
        function: The `tf.function`, taking one tensor an input, returning a dict.
        concrete: Its concrete function.
        outputs: Names of the results, in the model's order.
        probes: Names of results added to keep BatchNormalization out of convolutions.
        layer_outputs: What every layer returned, as symbolic tensors of the function's graph.
        results: For every result, probes included, the name of the tensor behind it.
    """

    function: Any
    concrete: Any
    outputs: list[str]
    probes: list[str]
    layer_outputs: list[LayerOutput] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)


def trace_model(model: keras.Model, inputs: ModelInputs, *, keep_batch_norm: bool = False) -> Trace:
    """Trace `model` for inference with batch 1 and float32.

    Args:
        model: The model to trace.
        inputs: What it takes.
        keep_batch_norm: Whether to make every input of a `BatchNormalization` a result too.
            The converter folds a normalization into the convolution before it only if nothing
            else reads what lies between them. Defaults to `False`.

    Raises:
        ExportError: If the model's `call` fails under tracing.
    """
    import keras
    import tensorflow as tf

    signature = [
        tf.TensorSpec(spec.shape, tf.as_dtype(spec.dtype), name=spec.name) for spec in inputs.specs
    ]
    record: list[LayerOutput] = []
    between: list[Any] = []
    names: list[str] = []
    behind: dict[str, str] = {}

    def observe(layer: keras.Layer, args: tuple[Any, ...], outputs: Tensor) -> None:
        record.extend(_outputs_of(layer, outputs))
        if keep_batch_norm and isinstance(layer, keras.layers.BatchNormalization) and args:
            between.append(args[0])

    @tf.function(input_signature=signature, autograph=False)
    def serving(*tensors: Any) -> dict[str, Any]:
        record.clear()
        between.clear()
        outputs = model(inputs.pack(list(tensors)), training=False)
        flat = keras.tree.flatten(outputs)
        names[:] = _output_names(model, outputs)
        result = {
            # A result that is an input, or another result, would be one tensor with two names.
            name: tf.identity(tensor) if _is_plain_alias(tensor, tensors) else tensor
            for name, tensor in zip(names, flat, strict=True)
        }
        graph = tensors[0].graph
        kept: dict[int, Any] = {
            id(t): t for t in between if t.graph is graph and not _is_plain_alias(t, tensors)
        }
        for number, tensor in enumerate(kept.values()):
            result[f"{PROBE}{number}"] = tensor
        behind.update({name: tensor.name for name, tensor in result.items()})
        return result

    with computing_in_float32(model), _observing(model, observe, handled=True):
        try:
            concrete = serving.get_concrete_function()
        except KerasCompressError:
            raise
        except Exception as error:
            raise ExportError(
                f"{model.name!r} can't be traced for export: its call raised "
                f"{type(error).__name__}: {_first_lines(error)}"
            ) from error
    probes = sorted(
        (n for n in concrete.structured_outputs if n.startswith(PROBE)),
        key=lambda n: int(n[len(PROBE) :]),
    )
    return Trace(serving, concrete, list(names), probes, list(record), dict(behind))


def run_model(model: keras.Model, inputs: ModelInputs, rows: list[np.ndarray]) -> list[np.ndarray]:
    """Return the Keras model's own outputs for `rows`, in float32, flat and in its order."""
    import keras

    with computing_in_float32(model):
        parts: list[list[np.ndarray]] = []
        for start in range(0, len(rows[0]), _BATCH):
            batch = [keras.ops.convert_to_tensor(r[start : start + _BATCH]) for r in rows]
            try:
                outputs = keras.tree.flatten(model(inputs.pack(batch), training=False))
            except KerasCompressError:
                raise
            except Exception as error:
                raise ExportError(
                    f"{model.name!r} can't be run on the samples: its call raised "
                    f"{type(error).__name__}: {_first_lines(error)}"
                ) from error
            parts.append([np.asarray(keras.ops.convert_to_numpy(o)) for o in outputs])
    # A result without a sample axis can't be put together; its size tells on it.
    return [
        np.concatenate(column) if column[0].ndim else np.stack(column)
        for column in zip(*parts, strict=True)
    ]


_BATCH = 32


def run_layers(model: keras.Model, inputs: ModelInputs, row: list[np.ndarray]) -> list[LayerOutput]:
    """Return what every layer computes for one sample, in the order `trace_model` records."""
    import keras

    record: list[LayerOutput] = []

    def observe(layer: keras.Layer, args: tuple[Any, ...], outputs: Tensor) -> None:
        record.extend(_outputs_of(layer, outputs))

    with computing_in_float32(model), _observing(model, observe, handled=True):
        model(inputs.pack([keras.ops.convert_to_tensor(r) for r in row]), training=False)
    return [
        LayerOutput(o.path, o.kind, np.asarray(keras.ops.convert_to_numpy(o.value))) for o in record
    ]


@contextlib.contextmanager
def computing_in_float32(model: keras.Model) -> Iterator[None]:
    """Let layers with a half-precision policy compute in float32 within the block.

    Phones run float16 files by widening weights to float32, so that is what is exported and
    compared.
    """

    with _LOCK:
        changed = []
        try:
            for layer in [model, *layers_of(model)]:
                policy = layer.dtype_policy
                if policy.compute_dtype in ("float16", "bfloat16"):
                    changed.append((layer, policy))
                    layer.dtype_policy = _widened(policy)
            yield
        finally:
            for layer, policy in changed:
                layer.dtype_policy = policy


def _widened(policy: Any) -> Any:
    """A policy that computes in float32 on variables stored as `policy` stores them."""
    import keras

    class Widened(keras.DTypePolicy):
        # Layers cast their variables only where the two differ; no named policy computes in more
        # precision than it stores.
        @property
        def variable_dtype(self) -> str:
            return str(policy.variable_dtype)

    return Widened("float32")


@contextlib.contextmanager
def _observing(
    model: keras.Model, observe: Callable[[Any, tuple[Any, ...], Any], None], *, handled: bool
) -> Iterator[None]:
    """Shadow every layer's `call` so that `observe` sees what goes in and comes out."""
    with _LOCK:
        shadowed: list[tuple[Any, Any]] = []
        try:
            for layer in layers_of(model):
                own = layer.__dict__.get("call", _ABSENT)
                layer.__dict__["call"] = _shadow(layer, layer.call, observe, handled)
                shadowed.append((layer, own))
            yield
        finally:
            for layer, own in shadowed:
                if own is _ABSENT:
                    del layer.__dict__["call"]
                else:
                    layer.__dict__["call"] = own


_ABSENT = object()


def _shadow(
    layer: keras.Layer,
    call: Any,
    observe: Callable[[Any, tuple[Any, ...], Any], None],
    handled: bool,
) -> Callable[..., Any]:
    handler = handler_for(layer) if handled else None

    def shadow(*args: Any, **kwargs: Any) -> Any:
        # No handler means no need to know the arguments: they go through as they came.
        outputs = call(*args, **kwargs) if handler is None else handler(layer, *args, **kwargs)
        observe(layer, args, outputs)
        return outputs

    return shadow


def _outputs_of(layer: keras.Layer, outputs: Tensor) -> list[LayerOutput]:
    import keras

    return [
        LayerOutput(layer.path or layer.name, type(layer).__name__, tensor)
        for tensor in keras.tree.flatten(outputs)
        if hasattr(tensor, "shape")
    ]


def _is_plain_alias(tensor: Tensor, inputs: tuple[Any, ...]) -> bool:
    return any(tensor is given for given in inputs)


def _output_names(model: keras.Model, outputs: Tensor) -> list[str]:
    """Names of the results: the model's own where it has any, else by key or by number."""
    import keras

    paths = [path for path, _ in keras.tree.flatten_with_path(outputs)]
    if isinstance(outputs, dict):
        names = ["_".join(str(part) for part in path) for path in paths]
    else:
        names = list(getattr(model, "output_names", None) or [])
        if isinstance(model, keras.Sequential):
            names = [model.layers[-1].name]
        if len(names) != len(paths) or len(set(names)) != len(names):
            names = [f"output_{i}" for i in range(len(paths))]
    clean = ["".join(c if c.isalnum() or c == "_" else "_" for c in name) for name in names]
    if len(set(clean)) != len(clean) or any(name.startswith(PROBE) for name in clean):
        return [f"output_{i}" for i in range(len(paths))]
    return clean


def _first_lines(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:400]} ..."
