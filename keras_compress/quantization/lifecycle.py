"""`prepare`, `calibrate`, `finalize` and `report` of quantization-aware training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_compress.engine.cloning import copy_model
from keras_compress.engine.report import values_of
from keras_compress.engine.weight_decay import carry_exclusions
from keras_compress.engine.weights import iter_weights, require_finite
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers
from keras_compress.quantization.building import build_simulation
from keras_compress.quantization.choosing import float_layers
from keras_compress.quantization.config import QuantizationConfig
from keras_compress.quantization.fake_quantize import FakeQuantize
from keras_compress.quantization.finalizing import build_final
from keras_compress.quantization.graph import flat_graph
from keras_compress.quantization.planning import make_plan
from keras_compress.quantization.quantized import Quantized

__all__ = ["calibrate", "finalize", "prepare", "ranges"]


def prepare(
    model: keras.Model,
    config: QuantizationConfig | None = None,
    calibration_data: object = None,
    *,
    batch_size: int = 32,
) -> keras.Model:
    """Return a functional copy of `model` that computes with the integers of a TFLite file.

    Models in the model are taken apart, and normalizations are folded into the convolutions before
    them while they are trained. If `model` is compiled, so is the copy. Train it as you like:
    ranges of activations follow the data. Its predictions are those of the file that
    `exporter.convert` makes of it without further calibration.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_compress import quantization

    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(8, 3, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4),
    ])
    x = np.random.default_rng(0).random((64, 8, 8, 3), dtype="float32")
    prepared = quantization.prepare(model, calibration_data=x)
    print(prepared.predict(x[:1], verbose=0))
    ```

    Args:
        model: A built, trained Sequential or functional model, nested or not.
        config: The `QuantizationConfig`. Defaults to `None`: 8 bits throughout.
        calibration_data: Inputs by which ranges start, as `calibrate` takes them. Defaults to
            `None`: they start with the first batch of the training.
        batch_size: Samples that are run at once over `calibration_data`. Defaults to `32`.

    Raises:
        KerasCompressError: If the model is unbuilt, subclassed, prepared already or wrapped by
            another technique, if a weight is NaN, infinite or not of float32, if a layer has no
            operator on 8-bit integers, or if ranges are to be learned without calibration data.
    """
    config = config or QuantizationConfig()
    if config.activations.range == "learned" and calibration_data is None:
        raise KerasCompressError(
            "Learned ranges start from those of data. Received: no `calibration_data`. Pass a few "
            "hundred typical inputs."
        )
    copy = _checked_copy(model)
    prepared = simulate(copy, config)
    if calibration_data is not None:
        calibrate(prepared, calibration_data, batch_size=batch_size)
    _compile_like(copy, prepared, {id(v): (v, v) for v in copy.variables})
    return prepared


def simulate(model: keras.Model, config: QuantizationConfig, name_prefix: str = "") -> keras.Model:
    """Return a model of the layers of `model` that computes as the device does, not compiled.

    Args:
        model: A built model that nobody else uses.
        config: The settings.
        name_prefix: What the name of each layer on integer weights begins with. Defaults to
            nothing.

    Raises:
        KerasCompressError: If a layer has no operator on 8-bit integers.
    """
    graph = flat_graph(model)
    plan = make_plan(graph, float_layers(graph, config))
    if not any(node.layer is not None for node in plan.nodes):
        raise KerasCompressError(
            "There must be at least one layer with a kernel to quantize. "
            f"Received: {model.name!r} without any."
        )
    prepared = build_simulation(graph, plan, config, model.name, name_prefix)
    for layer in quantized_layers(prepared):
        layer.protect()
        if layer.quantizer.range == "learned":
            layer.start_steps()
    return prepared


def calibrate(model: keras.Model, data: object, *, batch_size: int = 32) -> None:
    """Let the ranges of a prepared model follow `data`, in place, without training it.

    Args:
        model: A model from `prepare`.
        data: Typical inputs: an array, or arrays in the structure of the model's inputs, samples
            along the first axis.
        batch_size: Samples that are run at once. Defaults to `32`.

    Raises:
        KerasCompressError: If the model isn't prepared, or `data` holds no sample or NaN.
    """
    layers = range_layers(model)
    if not layers:
        raise KerasCompressError(
            "Ranges are those of a model from `quantization.prepare`. "
            f"Received: {model.name!r}, which has none."
        )
    arrays = [np.asarray(each, np.float32) for each in keras.tree.flatten(data)]
    count = min((len(each) for each in arrays), default=0)
    if not count or not all(np.isfinite(each).all() for each in arrays):
        raise KerasCompressError(
            "Ranges are measured on finite inputs, at least one sample. Received: "
            f"{count} samples{' with NaN or infinite values' if count else ''}."
        )
    try:
        for layer in layers:
            layer.calibrating = True
        for start in range(0, count, batch_size):
            batch = [
                keras.ops.convert_to_tensor(each[start : start + batch_size]) for each in arrays
            ]
            model(keras.tree.pack_sequence_as(data, batch), training=False)
    finally:
        for layer in layers:
            layer.calibrating = False


def finalize(model: keras.Model, *, keep_ranges: bool = True) -> keras.Model:
    """Return a copy of a prepared model in stock layers, with weights on the integers' grid.

    Normalizations are folded into the kernels. The ranges of activations stay as `FakeQuantize`
    layers, so that the copy computes what the file will, and `exporter.convert` finds them in it;
    without them it is a plain float model with rounded weights. Layers whose steps can't be told
    from their values (fewer than 8 bits, one step in all, or learned) stay `Quantized`.

    Args:
        model: A model from `prepare`, trained or not.
        keep_ranges: Whether the copy holds the ranges of activations. Defaults to `True`.

    Raises:
        KerasCompressError: If the model isn't prepared, or a range has seen no data.
    """
    _require_prepared(model)
    unseen = [layer.name for layer in range_layers(model) if layer.trained_range() is None]
    if unseen and keep_ranges:
        raise KerasCompressError(
            "Ranges of activations come from data. Received: a model that has seen none at "
            f"{', '.join(unseen[:5])}. Train it, or call `quantization.calibrate(model, x)`."
        )
    copy = copy_model(model)
    final = build_final(flat_graph(copy), model.name, keep_ranges=keep_ranges)
    _compile_like(copy, final, _final_variables(copy, final))
    return final


def ranges(model: keras.Model) -> dict[str, tuple[float, float] | None]:
    """Return the least and the largest number of each quantized activation, by its layer's name.

    Args:
        model: A prepared or finalized model. `None` stands for a range that has seen no data.
    """
    return {layer.name: layer.trained_range() for layer in range_layers(model)}


def range_layers(model: keras.Model) -> list[FakeQuantize]:
    """Return the `FakeQuantize` layers of `model`."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, FakeQuantize)]


def quantized_layers(model: keras.Model) -> list[Quantized]:
    """Return the `Quantized` layers of `model`."""
    return [layer for _, layer in iter_layers(model) if isinstance(layer, Quantized)]


def _checked_copy(model: keras.Model) -> keras.Model:
    layers = [layer for _, layer in iter_layers(model)] if isinstance(model, keras.Model) else []
    if any(isinstance(layer, Quantized | FakeQuantize) for layer in layers):
        raise KerasCompressError(
            f"A model can be prepared once. Received: {model.name!r}, which is quantized already. "
            "Prepare the float model."
        )
    wrapped = [layer.name for layer in layers if isinstance(layer, SubstitutedLayer)]
    if wrapped:
        raise KerasCompressError(
            "A model is quantized in stock layers. Received: "
            f"{model.name!r} with wrappers of another technique ({', '.join(wrapped[:5])}). Call "
            "`finalize` of that technique first; its callback may go on on the prepared model."
        )
    copied = [layer.name for layer in layers if getattr(layer, "quantization_mode", None)]
    if copied:
        raise KerasCompressError(
            "Only float weights can be quantized. Received: layers that `model.quantize` changed "
            f"({', '.join(copied[:5])}). Prepare the float model."
        )
    copy = copy_model(model)
    stock = (keras.Sequential, type(keras.Model(copy.inputs, copy.outputs)))
    if type(copy) not in stock:
        raise KerasCompressError(
            "A quantized model has a graph of its own, which a class of yours doesn't know. "
            f"Received: {model.name!r} of type {type(model).__name__}. Prepare "
            "`keras.Model(model.inputs, model.outputs)`, the same graph in a stock class."
        )
    for ref in iter_weights(copy):
        dtype = keras.backend.standardize_dtype(ref.variable.dtype)
        if keras.backend.is_float_dtype(dtype):
            if dtype != "float32":
                raise KerasCompressError(
                    "The device's integers are simulated on float32 weights. Received: "
                    f"{ref.variable.path!r} of {dtype}. Build the model under the policy "
                    "'float32', 'mixed_float16' or 'mixed_bfloat16' and load its weights there."
                )
            require_finite(ref, values_of(ref.variable))
    return copy


def _require_prepared(model: keras.Model) -> None:
    if not quantized_layers(model):
        raise KerasCompressError(
            "`quantization.finalize` takes what `quantization.prepare` returned. "
            f"Received: {model.name!r}, which has no `Quantized` layer."
        )


def _final_variables(prepared: Any, final: object) -> dict[int, tuple[Any, Any]]:
    """Return the kernels and biases of a prepared model with those of the final one, by `id`."""
    layers = {layer.name: layer for _, layer in iter_layers(final)}
    found = {id(v): (v, v) for v in prepared.variables}
    for layer in quantized_layers(prepared):
        stock = layers.get(layer.layer.name)
        for name in ("kernel", "bias"):
            source, target = (getattr(each, name, None) for each in (layer.layer, stock))
            if source is not None and target is not None:
                found[id(source)] = (source, target)
    return found


def _compile_like(copy: Any, prepared: Any, stands_for: Mapping[int, tuple[Any, Any]]) -> None:
    if not getattr(copy, "compiled", False):
        return
    try:
        prepared.compile_from_config(copy.get_compile_config())
        if getattr(prepared, "optimizer", None) is not None:
            carry_exclusions(copy.optimizer, prepared.optimizer, stands_for, prepared)
    except (TypeError, ValueError) as error:
        warnings.warn(
            f"The quantized {prepared.name!r} is not compiled, for the loss or metrics can't be "
            f"serialized ({error}). Call `compile()` on it.",
            stacklevel=3,
        )
