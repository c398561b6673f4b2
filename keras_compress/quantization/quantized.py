"""The layer with a kernel as the device runs it: integers for weights, its normalization folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_compress.errors import KerasCompressError
from keras_compress.quantization.folding import (
    batch_statistics,
    fold,
    fold_moving,
    moving_statistics,
)
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.numerics import (
    LEAST_STEP,
    least_weight_steps,
    quantize_symmetric,
    round_through,
    short,
    symmetric_integers,
    weight_limit,
)
from keras_compress.quantization.protection import mean_of_clusters, numbered_clusters
from keras_compress.quantization.quantizers import WeightQuantizer
from keras_compress.quantization.weight_grid import WeightGrid
from keras_compress.rate import code_length

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

#: Activations that the device computes with the operator before them.
FUSED = ("linear", "relu", "relu6")


@keras.saving.register_keras_serializable(package="keras_compress")
class Quantized(keras.layers.Layer):
    """Runs a layer on integer weights and a 32-bit bias, with normalization and ReLU folded in.

    Called with its inputs and their step, as `FakeQuantize` returns both. With `with_steps=True` it
    also returns the steps of its channels' sums, `(channels,)`: 0 in training and where the inputs
    have none. The `kernel` of `layer` is what is trained; callbacks that prune or cluster it find
    it there.

    With one step a channel a normalization only scales the channels' integers, so that in training
    it is computed behind the sums, by the statistics of the batch. With one step in all the
    integers depend on it: the kernel is scaled by the moving averages before it is rounded, and
    what they differ from the batch is put right behind the sums (Krishnamoorthi, arXiv 1806.08342,
    section 3.2.2).

    Args:
        layer: A `Conv2D`, `DepthwiseConv2D`, `Conv2DTranspose` or `Dense` layer.
        norm: The `BatchNormalization` behind it, to be folded into it. Defaults to `None`.
        activation: `"linear"`, `"relu"` or `"relu6"`, in the stead of the layer's own. Defaults to
            `"linear"`.
        quantizer: A `WeightQuantizer`. Defaults to `None`: 8 bits, one step a channel.
        freeze_after: Training steps after which the normalization uses its moving averages.
            Defaults to `None`: not in training.
        preserve_sparsity: Whether weights that are zero when `protect` is called stay so.
            Defaults to `False`.
        preserve_clusters: Whether weights that are equal then stay equal. Defaults to `False`.
        rate_weight: What one bit of the packed integers adds to the loss. Defaults to `0.0`.

    Raises:
        KerasCompressError: If the layer or the activation is of another kind.
    """

    def __init__(
        self,
        layer: keras.Layer,
        norm: keras.Layer = None,
        activation: str = "linear",
        quantizer: WeightQuantizer | None = None,
        freeze_after: int | None = None,
        preserve_sparsity: bool = False,
        rate_weight: float = 0.0,
        preserve_clusters: bool = False,
        **kwargs: Any,
    ) -> None:
        operator = operator_of(layer)
        if operator is None or activation not in FUSED:
            raise KerasCompressError(
                "Conv2D, DepthwiseConv2D, Conv2DTranspose and Dense layers are quantized, with "
                f"one of the activations {', '.join(FUSED)}. Received: {layer.name!r} of type "
                f"{type(layer).__name__} with activation={activation!r}."
            )
        super().__init__(**{"name": layer.name, **kwargs, "dtype": "float32"})
        self.layer = layer
        self.norm = norm
        self.activation = activation
        self.quantizer = quantizer or WeightQuantizer()
        self.freeze_after = freeze_after
        self.preserve_sparsity = preserve_sparsity
        self.preserve_clusters = preserve_clusters
        self.rate_weight = float(rate_weight)
        self._operator = operator
        self._grid = WeightGrid(operator, self.quantizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        if not self.layer.built:
            self.layer.build(shape)
        kernel = self.layer.kernel
        if self.norm is not None and not self.norm.built:
            self.norm.build((*[None] * (len(shape) - 1), self._operator.channels(kernel)))
        if self.quantizer.range == "learned":
            sizes = self._grid.shape_of_steps(kernel)
            # Steps a channel are of the kernel before its normalization, which scales both alike;
            # one step in all is of the kernel after it.
            self.initial_steps = self.add_weight(
                name="initial_steps", shape=sizes, initializer="ones", trainable=False
            )
            self.factor = self.add_weight(name="factor", shape=sizes, initializer="ones")
        if self.preserve_sparsity:
            self.mask = self.add_weight(
                name="mask", shape=kernel.shape, initializer="ones", trainable=False
            )
        if self.preserve_clusters:
            self.clusters = self.add_weight(
                name="clusters",
                shape=kernel.shape,
                dtype="int32",
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )
        # No part of a file: the exporter asks.
        for name in ("initial_steps", "factor", "mask", "clusters"):
            if hasattr(self, name):
                getattr(self, name).of_training = True
        if self.norm is not None and self.freeze_after is not None:
            self.steps_done = self.add_weight(
                name="steps_done",
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
            )
        self.built = True

    def protect(self) -> None:
        """Keep weights at zero that are zero now, and alike that are equal, as far as asked for."""
        if self.preserve_sparsity:
            self.mask.assign(ops.cast(ops.not_equal(self.layer.kernel, 0), "float32"))
        if self.preserve_clusters:
            self.clusters.assign(numbered_clusters(ops.convert_to_numpy(self.layer.kernel)))

    def start_steps(self) -> None:
        """Begin with the learned steps that round the kernel with the least squared error."""
        values = self._kernel()
        if self.norm is not None and not self.quantizer.per_channel:
            factor, _ = fold_moving(self.norm, self._bias())
            values = values * self._operator.to_kernel_shape(factor, values)
        steps = self._grid.best_steps(np.asarray(ops.convert_to_numpy(values), np.float32))
        self.initial_steps.assign(steps)
        self.factor.assign(np.ones(steps.shape, np.float32))

    def integers(self) -> np.ndarray:
        """Return the integers that the file will hold, in the shape of the layer's kernel."""
        integers = self._folded(None, False)[0]
        return np.asarray(ops.convert_to_numpy(integers)).astype(np.int8)

    def bits(self) -> Tensor:
        """Return the estimated bits of the packed integers, a float32 scalar with a gradient.

        A normalization scales the channels of a kernel and their steps alike, so that both are
        taken without it.
        """
        kernel, factor = self._kernel(), None
        if self.norm is not None and not self.quantizer.per_channel:
            factor, _ = fold_moving(self.norm, self._bias())
        if factor is not None:
            kernel = kernel * self._operator.to_kernel_shape(factor, kernel)
        steps = self._steps(kernel, True)
        limit = weight_limit(self.quantizer.bits)
        return code_length(ops.clip(kernel / steps, -limit, limit))

    def on_grid(self, layer: keras.Layer) -> Quantized:
        """Return a wrapper like this one, without normalization, around a layer on its grid.

        Args:
            layer: A built layer with the kernel and bias that `folded` returned.
        """
        wrapper = Quantized(
            layer,
            None,
            self.activation,
            self.quantizer,
            None,
            self.preserve_sparsity,
            preserve_clusters=self.preserve_clusters,
        )
        wrapper.build(layer.get_build_config()["input_shape"])
        wrapper.protect()
        if self.quantizer.range == "learned":
            _, _, steps = self.folded()
            if self.quantizer.per_channel:
                steps = self._operator.to_kernel_shape(steps, layer.kernel)
            else:
                steps = ops.reshape(steps[:1], wrapper.initial_steps.shape)
            wrapper.initial_steps.assign(steps)
        return wrapper

    def call(
        self,
        inputs: Tensor,
        input_step: Any = None,
        training: bool = False,
        with_steps: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        inputs = ops.cast(inputs, "float32")
        if training and self.rate_weight:
            self.add_loss(self.rate_weight * self.bits())
        steps = ops.zeros((self._operator.channels(self.layer.kernel),), "float32")
        if not training:
            sums, of_sums = self._on_integers(inputs, input_step)
            steps = steps if input_step is None else ops.where(input_step > 0, of_sums, steps)
        elif self.norm is None:
            sums = self._summed(inputs, input_step)
        else:
            sums = self._normalized(inputs)
        outputs = self._activated(sums)
        return (outputs, ops.stop_gradient(steps)) if with_steps else outputs

    def folded(self, input_step: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what the device computes with, as NumPy arrays.

        Args:
            input_step: The step of the inputs. Defaults to `None`: the bias isn't rounded.

        Returns:
            The kernel on its grid, with the normalization folded in, the bias, and the steps of
            the channels, of shape `(channels,)`.
        """
        integers, bias, steps, of_bias = self._folded(input_step, False)
        kernel = integers * self._operator.to_kernel_shape(steps, integers)
        return tuple(  # type: ignore[return-value]
            np.asarray(ops.convert_to_numpy(each), np.float32)
            for each in (kernel, bias * of_bias, steps)
        )

    def _on_integers(self, inputs: Tensor, input_step: Any) -> tuple[Tensor, Tensor]:
        """Return the sums with bias, whole numbers times their steps, and these steps."""
        integers, bias, _, of_bias = self._folded(input_step, False)
        if input_step is not None:
            known = input_step > 0
            scaled = inputs / ops.where(known, input_step, 1.0)
            inputs = ops.where(known, round_through(scaled), scaled)
        return (self._operator.compute(self.layer, inputs, integers) + bias) * of_bias, of_bias

    def _summed(self, inputs: Tensor, input_step: object) -> Tensor:
        """Return the sums with bias in training, where the last digit of a float may differ."""
        integers, bias, steps, of_bias = self._folded(input_step, True)
        kernel = integers * self._operator.to_kernel_shape(steps, integers)
        return self._operator.compute(self.layer, inputs, kernel) + bias * of_bias

    def _folded(self, input_step: Any, training: bool) -> tuple[Any, Any, Any, Any]:
        """Return integers of the kernel and the bias, the steps of the channels and of the bias.

        By moving averages; without a step of the inputs, or with 0, the bias isn't rounded.
        """
        kernel, bias, factor = self._kernel(), self._bias(), None
        if self.norm is not None:
            factor, bias = fold_moving(self.norm, bias)
            if not self.quantizer.per_channel:
                kernel = kernel * self._operator.to_kernel_shape(factor, kernel)
                factor = None
        steps = self._steps(kernel, training)
        # A normalization scales a channel and its step alike. The integers are those of the kernel
        # without it, to the last digit: training leaves many a weight half way between two.
        scale = None
        own = steps
        if factor is not None:
            scale = self._operator.to_kernel_shape(ops.abs(factor), kernel)
            own = short(ops.maximum(steps * scale, LEAST_STEP))
        known, step = False, 1.0
        if input_step is not None:
            known = input_step > 0
            step = ops.where(known, input_step, 1.0)
            floor = ops.where(known, least_weight_steps(bias, step), 0.0)
            if self.quantizer.per_channel:
                floor = self._operator.to_kernel_shape(floor, kernel)
            else:
                floor = ops.max(floor)
            wide = short(ops.maximum(own, floor))
            if scale is None:
                steps = wide
            else:
                steps = ops.where(floor > own, wide / ops.maximum(scale, LEAST_STEP), steps)
            own = wide
        of_channels = self._operator.to_channels(own, kernel)
        integers = symmetric_integers(kernel, steps, self.quantizer.bits)
        if factor is not None:
            integers = integers * self._operator.to_kernel_shape(ops.sign(factor), kernel)
        of_bias = of_channels * step
        bias = bias / of_bias
        if input_step is not None:
            bias = ops.where(known, round_through(bias), bias)
        return integers, bias, of_channels, of_bias

    def _normalized(self, inputs: Tensor) -> Tensor:
        """Return the normalized sums in training; the moving averages follow the batch."""
        norm, kernel, bits = self.norm, self._kernel(), self.quantizer.bits
        # A bias before the normalization moves the mean, and nothing else: the sums are without.
        offset = 0.0 if norm.trainable else self._bias()
        if self.quantizer.per_channel:
            steps = self._steps(kernel, True)
            sums = self._operator.compute(
                self.layer, inputs, quantize_symmetric(kernel, steps, bits)
            )
            factor, bias = fold(norm, *self._statistics(sums, None), offset)
            return sums * factor + bias
        factor, _ = fold_moving(norm, self._bias())
        scaled = kernel * self._operator.to_kernel_shape(factor, kernel)
        steps = self._steps(scaled, True)
        sums = self._operator.compute(self.layer, inputs, quantize_symmetric(scaled, steps, bits))
        mean, variance = self._statistics(sums, ops.stop_gradient(factor))
        _, bias = fold(norm, mean, variance, offset)
        _, moving_variance = moving_statistics(norm)
        correction = ops.sqrt((moving_variance + norm.epsilon) / (variance + norm.epsilon))
        return sums * correction + bias

    def _statistics(self, sums: Any, factor: object) -> tuple[Tensor, Tensor]:
        """Return what `batch_statistics` does, where the normalization is trained."""
        if not self.norm.trainable:
            return moving_statistics(self.norm)
        if (frozen := self._frozen()) is not None:
            self.steps_done.assign(ops.convert_to_tensor(self.steps_done) + 1)
        return batch_statistics(self.norm, sums, self._bias(), factor, frozen)

    def _frozen(self) -> Any:
        if self.freeze_after is None:
            return None
        return ops.convert_to_tensor(self.steps_done) >= self.freeze_after

    def _kernel(self) -> Tensor:
        kernel = ops.cast(self.layer.kernel, "float32")
        if self.preserve_clusters:
            kernel = mean_of_clusters(kernel, ops.convert_to_tensor(self.clusters))
        if self.preserve_sparsity:
            kernel = kernel * ops.convert_to_tensor(self.mask)
        return kernel

    def _bias(self) -> Tensor:
        if self.layer.bias is None:
            return ops.zeros((self._operator.channels(self.layer.kernel),), "float32")
        return ops.cast(self.layer.bias, "float32")

    def _steps(self, kernel: Tensor, training: bool) -> Tensor:
        if self.quantizer.range == "max":
            return self._grid.whole_range(kernel)
        initial = ops.convert_to_tensor(self.initial_steps)
        learned = ops.convert_to_tensor(self.factor)
        return self._grid.learned(kernel, initial, learned, training)

    def _activated(self, outputs: Tensor) -> Tensor:
        if self.activation == "relu":
            return ops.relu(outputs)
        return ops.relu6(outputs) if self.activation == "relu6" else outputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...], *_: Any) -> tuple[Any, ...]:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(
        self,
        inputs: Tensor,
        input_step: object = None,
        training: bool | None = None,
        with_steps: bool = False,
    ) -> Any:
        outputs = keras.KerasTensor(self.layer.compute_output_shape(inputs.shape), dtype="float32")
        if not with_steps:
            return outputs
        channels = self._operator.channels(self.layer.kernel)
        return outputs, keras.KerasTensor((channels,), dtype="float32")

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "norm": keras.saving.serialize_keras_object(self.norm),
            "activation": self.activation,
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
            "freeze_after": self.freeze_after,
            "preserve_sparsity": self.preserve_sparsity,
            "preserve_clusters": self.preserve_clusters,
            "rate_weight": self.rate_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantized:
        config = dict(config)
        for key in ("layer", "norm", "quantizer"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
