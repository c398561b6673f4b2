"""The layer with a kernel as the device runs it: integers for weights, its normalization folded."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.errors import KerasCompressError
from keras_compress.quantization.kernel_operators import operator_of
from keras_compress.quantization.numerics import (
    LEAST_STEP,
    least_weight_steps,
    quantize_symmetric,
    round_through,
    scale_gradient,
    short,
    step_gradient_scale,
    symmetric_integers,
    weight_limit,
    weight_steps,
)
from keras_compress.quantization.quantizers import WeightQuantizer
from keras_compress.rate import code_length

#: Activations that the device computes with the operator before them.
FUSED = ("linear", "relu", "relu6")


@keras.saving.register_keras_serializable(package="keras_compress")
class Quantized(keras.layers.Layer):
    """Runs a layer on integer weights and a 32-bit bias, with normalization and ReLU folded in.

    Called with its inputs and their step, as `FakeQuantize` returns both. The `kernel` of `layer`
    is what is trained; callbacks that prune or cluster it find it there.

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
        preserve_sparsity: Whether weights that are zero when `protect_zeros` is called stay so.
            Defaults to `False`.
        rate_weight: What one bit of the packed integers adds to the loss. Defaults to `0.0`.

    Raises:
        KerasCompressError: If the layer or the activation is of another kind.
    """

    def __init__(
        self,
        layer: Any,
        norm: Any = None,
        activation: str = "linear",
        quantizer: WeightQuantizer | None = None,
        freeze_after: int | None = None,
        preserve_sparsity: bool = False,
        rate_weight: float = 0.0,
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
        self.rate_weight = float(rate_weight)
        self._operator = operator

    def build(self, input_shape: Any) -> None:
        shape = input_shape[0] if isinstance(input_shape[0], tuple | list) else input_shape
        if not self.layer.built:
            self.layer.build(shape)
        channels = self._operator.channels(self.layer.kernel)
        if self.norm is not None and not self.norm.built:
            self.norm.build((*[None] * (len(shape) - 1), channels))
        if self.quantizer.range == "learned":
            axes = self._axes()
            rank = len(self.layer.kernel.shape)
            sizes = [1] * rank
            for axis in axes:
                sizes[axis] = int(self.layer.kernel.shape[axis])
            # Steps a channel are of the kernel before its normalization, which scales both alike;
            # one step in all is of the kernel after it.
            self.initial_steps = self.add_weight(
                name="initial_steps", shape=sizes, initializer="ones", trainable=False
            )
            self.factor = self.add_weight(name="factor", shape=sizes, initializer="ones")
        if self.preserve_sparsity:
            self.mask = self.add_weight(
                name="mask", shape=self.layer.kernel.shape, initializer="ones", trainable=False
            )
        # No part of a file: the exporter asks.
        for name in ("initial_steps", "factor", "mask"):
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

    def protect_zeros(self) -> None:
        """Keep the weights at zero that are zero now."""
        self.mask.assign(ops.cast(ops.not_equal(self.layer.kernel, 0), "float32"))

    def start_steps(self) -> None:
        """Begin with the learned steps that round the kernel with the least squared error."""
        values = self._kernel()
        if self.norm is not None and not self.quantizer.per_channel:
            norm = self.norm
            mean, variance = ops.convert_to_tensor(norm.moving_mean), norm.moving_variance
            factor, _ = self._fold(mean, ops.convert_to_tensor(variance), self._bias())
            values = values * self._operator.to_kernel_shape(factor, values)
        kernel = np.asarray(ops.convert_to_numpy(values), np.float32)
        axes = tuple(axis % kernel.ndim for axis in self._axes())
        others = tuple(axis for axis in range(kernel.ndim) if axis not in axes)
        limit = weight_limit(self.quantizer.bits)
        largest = np.maximum(np.abs(kernel).max(axis=others, keepdims=True) / limit, LEAST_STEP)
        best, least = largest, np.full(largest.shape, np.inf)
        for share in np.linspace(1.0, 0.3, 36):
            steps = largest * share
            error = np.clip(np.rint(kernel / steps), -limit, limit) * steps - kernel
            total = np.square(error, dtype=np.float64).sum(axis=others, keepdims=True)
            best, least = np.where(total < least, steps, best), np.minimum(total, least)
        self.initial_steps.assign(best.astype(np.float32))
        self.factor.assign(np.ones(best.shape, np.float32))

    def integers(self) -> np.ndarray:
        """Return the integers that the file will hold, in the shape of the layer's kernel."""
        integers = self._folded(None, False)[0]
        return np.asarray(ops.convert_to_numpy(integers)).astype(np.int8)

    def bits(self) -> Any:
        """Return the estimated bits of the packed integers, a float32 scalar with a gradient.

        A normalization scales the channels of a kernel and their steps alike, so that both are
        taken without it.
        """
        kernel, factor = self._kernel(), None
        if self.norm is not None and not self.quantizer.per_channel:
            mean = ops.convert_to_tensor(self.norm.moving_mean)
            variance = ops.convert_to_tensor(self.norm.moving_variance)
            factor, _ = self._fold(mean, variance, self._bias())
        steps = self._steps(kernel, factor, True)
        if factor is not None:
            kernel = kernel * self._operator.to_kernel_shape(factor, kernel)
        limit = weight_limit(self.quantizer.bits)
        return code_length(ops.clip(kernel / steps, -limit, limit))

    def on_grid(self, layer: Any) -> Quantized:
        """Return a wrapper like this one, without normalization, around a layer on its grid.

        Args:
            layer: A built layer with the kernel and bias that `folded` returned.
        """
        wrapper = Quantized(
            layer, None, self.activation, self.quantizer, None, self.preserve_sparsity
        )
        wrapper.build(layer.get_build_config()["input_shape"])
        if self.preserve_sparsity:
            wrapper.protect_zeros()
        if self.quantizer.range == "learned":
            _, _, steps = self.folded()
            if self.quantizer.per_channel:
                steps = self._operator.to_kernel_shape(steps, layer.kernel)
            wrapper.initial_steps.assign(
                ops.reshape(steps[:1], wrapper.initial_steps.shape)
                if not self.quantizer.per_channel
                else steps
            )
        return wrapper

    def call(self, inputs: Any, input_step: Any = None, training: bool = False) -> Any:
        inputs = ops.cast(inputs, "float32")
        if training and self.rate_weight:
            self.add_loss(self.rate_weight * self.bits())
        if self.norm is None or not training:
            return self._activated(self._on_integers(inputs, input_step, training))
        return self._activated(self._normalized(inputs))

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

    def _on_integers(self, inputs: Any, input_step: Any, training: bool) -> Any:
        """Return the sums with bias, added up in whole numbers: floats hold these exactly."""
        integers, bias, _, of_bias = self._folded(input_step, training)
        if input_step is not None:
            known = input_step > 0
            scaled = inputs / ops.where(known, input_step, 1.0)
            inputs = ops.where(known, round_through(scaled), scaled)
        return (self._operator.compute(self.layer, inputs, integers) + bias) * of_bias

    def _folded(self, input_step: Any, training: bool) -> tuple[Any, Any, Any, Any]:
        """Return integers of the kernel and the bias, the steps of the channels and of the bias.

        By moving averages; without a step of the inputs, or with 0, the bias isn't rounded.
        """
        kernel, bias = self._kernel(), self._bias()
        factor = None
        if self.norm is not None:
            factor, bias = self._fold(
                ops.convert_to_tensor(self.norm.moving_mean),
                ops.convert_to_tensor(self.norm.moving_variance),
                bias,
            )
        steps = self._steps(kernel, factor, training)
        if factor is not None:
            kernel = kernel * self._operator.to_kernel_shape(factor, kernel)
        known, step = False, 1.0
        if input_step is not None:
            known = input_step > 0
            step = ops.where(known, input_step, 1.0)
            floor = ops.where(known, least_weight_steps(bias, step), 0.0)
            if self.quantizer.per_channel:
                floor = self._operator.to_kernel_shape(floor, kernel)
            else:
                floor = ops.max(floor)
            steps = short(ops.maximum(steps, floor))
        of_channels = self._operator.to_channels(steps, kernel)
        integers = symmetric_integers(kernel, steps, self.quantizer.bits)
        of_bias = of_channels * step
        bias = bias / of_bias
        if input_step is not None:
            bias = ops.where(known, round_through(bias), bias)
        return integers, bias, of_channels, of_bias

    def _normalized(self, inputs: Any) -> Any:
        """Return the normalized sums in training; the moving averages follow the batch."""
        norm, kernel = self.norm, self._kernel()
        moving_mean = ops.convert_to_tensor(norm.moving_mean)
        moving_variance = ops.convert_to_tensor(norm.moving_variance)
        frozen = self._frozen()
        if self.quantizer.per_channel:
            steps = self._steps(kernel, None, True)
            sums = self._operator.compute(
                self.layer, inputs, quantize_symmetric(kernel, steps, self.quantizer.bits)
            )
            mean, variance = self._moments(sums, moving_mean, moving_variance, frozen)
            factor, bias = self._fold(mean, variance, self._bias(), batch=True)
            return sums * factor + bias
        exact = ops.stop_gradient(self._operator.compute(self.layer, inputs, kernel))
        mean, variance = self._moments(exact, moving_mean, moving_variance, frozen)
        long_factor, _ = self._fold(moving_mean, moving_variance, self._bias())
        _, bias = self._fold(mean, variance, self._bias(), batch=True)
        scaled = kernel * self._operator.to_kernel_shape(long_factor, kernel)
        steps = self._steps(kernel, long_factor, True)
        sums = self._operator.compute(
            self.layer, inputs, quantize_symmetric(scaled, steps, self.quantizer.bits)
        )
        correction = ops.sqrt((moving_variance + norm.epsilon) / (variance + norm.epsilon))
        return sums * correction + bias

    def _moments(
        self, sums: Any, moving_mean: Any, moving_variance: Any, frozen: Any
    ) -> tuple[Any, Any]:
        """Return the mean and variance to normalize by, and move the averages."""
        norm = self.norm
        if not norm.trainable:
            return moving_mean, moving_variance
        axes = tuple(range(len(sums.shape) - 1))
        mean, variance = ops.moments(sums, axes=axes)
        keep = norm.momentum
        if frozen is not None:
            keep = ops.where(frozen, 1.0, keep)
            self.steps_done.assign(ops.convert_to_tensor(self.steps_done) + 1)
        bias = self._bias()
        # A bias before the normalization moves the mean, and nothing else.
        norm.moving_mean.assign(moving_mean + (1.0 - keep) * (mean + bias - moving_mean))
        norm.moving_variance.assign(moving_variance + (1.0 - keep) * (variance - moving_variance))
        if frozen is not None:
            mean = ops.where(frozen, moving_mean - bias, mean)
            variance = ops.where(frozen, moving_variance, variance)
        return mean, variance

    def _frozen(self) -> Any:
        if self.freeze_after is None:
            return None
        return ops.convert_to_tensor(self.steps_done) >= self.freeze_after

    def _fold(self, mean: Any, variance: Any, bias: Any, *, batch: bool = False) -> tuple[Any, Any]:
        """Return factor and bias that the normalization amounts to.

        With `batch`, the mean is that of the sums without the layer's bias, which then is nothing.
        """
        norm = self.norm
        factor = ops.rsqrt(variance + norm.epsilon)
        if norm.scale:
            factor = factor * ops.convert_to_tensor(norm.gamma)
        offset = -mean if batch and norm.trainable else bias - mean
        folded = offset * factor
        if norm.center:
            folded = folded + ops.convert_to_tensor(norm.beta)
        return factor, folded

    def _kernel(self) -> Any:
        kernel = ops.cast(self.layer.kernel, "float32")
        if self.preserve_sparsity:
            kernel = kernel * ops.convert_to_tensor(self.mask)
        return kernel

    def _bias(self) -> Any:
        if self.layer.bias is None:
            return ops.zeros((self._operator.channels(self.layer.kernel),), "float32")
        return ops.cast(self.layer.bias, "float32")

    def _axes(self) -> tuple[int, ...]:
        return self._operator.channel_axes if self.quantizer.per_channel else ()

    def _steps(self, kernel: Any, factor: Any, training: bool) -> Any:
        """Return the steps of the kernel once it has been multiplied by `factor`."""
        if self.quantizer.range == "max":
            if factor is not None:
                kernel = kernel * self._operator.to_kernel_shape(factor, kernel)
            return weight_steps(kernel, self._axes(), self.quantizer.bits)
        steps = self._learned_steps(training)
        if factor is None:
            return steps
        factor = ops.stop_gradient(ops.abs(factor))
        if self.quantizer.per_channel:
            steps = steps * self._operator.to_kernel_shape(factor, kernel)
            return short(ops.maximum(steps, LEAST_STEP))
        return steps

    def _learned_steps(self, training: bool) -> Any:
        initial, factor = ops.convert_to_tensor(self.initial_steps), self.factor
        factor = ops.convert_to_tensor(factor)
        if training:
            channels = math.prod(int(n) for n in factor.shape)
            size = math.prod(int(n) for n in self.layer.kernel.shape) / channels
            gain = step_gradient_scale(size, weight_limit(self.quantizer.bits))
            factor = scale_gradient(factor, ops.minimum(gain / ops.square(initial), 1e6))
        return short(initial * ops.maximum(factor, 1e-3))

    def _activated(self, outputs: Any) -> Any:
        if self.activation == "relu":
            return ops.relu(outputs)
        return ops.relu6(outputs) if self.activation == "relu6" else outputs

    def compute_output_shape(self, input_shape: Any, *_: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs: Any, input_step: Any = None, training: Any = None) -> Any:
        return keras.KerasTensor(self.layer.compute_output_shape(inputs.shape), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "norm": keras.saving.serialize_keras_object(self.norm),
            "activation": self.activation,
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
            "freeze_after": self.freeze_after,
            "preserve_sparsity": self.preserve_sparsity,
            "rate_weight": self.rate_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantized:
        config = dict(config)
        for key in ("layer", "norm", "quantizer"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
