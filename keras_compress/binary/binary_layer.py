"""What the binarized layers share: quantizers, the one-bit view of their kernel, the clipping."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_compress.binary.constraints import WeightClip
from keras_compress.binary.quantizers import Quantizer
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["BinaryLayer", "BinarizedKernel", "constant_kernel", "is_binary_variable"]

# By the identity of a layer: the kernel that it computes with instead of binarizing its own.
_CONSTANT_KERNELS: ContextVar[dict[int, np.ndarray] | None] = ContextVar("kernels", default=None)


class BinarizedKernel(NamedTuple):
    """A kernel as levels and scale: `levels * scale` is what the layer computes with.

    Attributes:
        levels: The latent kernel's shape. int8 -1 and +1 where `layer.has_binary_kernel`, which
            one bit a weight holds; else float32.
        scale: float32 of shape `(filters,)`: alpha of each output channel, in their order; ones
            where the quantizer has none.
    """

    levels: np.ndarray
    scale: np.ndarray


class BinaryLayer:
    """Mixed into a Keras layer that has one kernel.

    Attributes:
        input_quantizer: `Quantizer` of the inputs, or `None`.
        kernel_quantizer: `Quantizer` of the kernel, or `None`.
    """

    # The axes of the kernel that tell its filters apart, in the order of the output channels.
    filter_axes: tuple[int, ...] = (-1,)

    input_quantizer: Quantizer | None
    kernel_quantizer: Quantizer | None

    # What the Keras layer beside it brings.
    kernel: Tensor
    name: Any
    built: Any
    compute_dtype: Any

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        is_kernel = kwargs.get("name") == "kernel"
        if is_kernel:
            # In half precision a small latent weight would round to zero and lose its sign.
            kwargs["autocast"] = False
        variable = super().add_weight(*args, **kwargs)  # type: ignore[misc]
        if is_kernel:
            variable.binary = self.kernel_quantizer is not None and self.kernel_quantizer.is_sign
        return variable

    @property
    def has_binary_input(self) -> bool:
        """Whether the inputs are -1 or +1 by the time they meet the kernel."""
        return self.input_quantizer is not None and self.input_quantizer.is_sign

    @property
    def has_binary_kernel(self) -> bool:
        """Whether the kernel is -1 or +1 times one scale a filter."""
        return self.kernel_quantizer is not None and self.kernel_quantizer.is_sign

    @property
    def quantized_kernel(self) -> Tensor:
        """The kernel the layer computes with, a tensor in its compute dtype."""
        constant = (_CONSTANT_KERNELS.get() or {}).get(id(self))
        if constant is not None:
            return ops.cast(constant, self.compute_dtype)
        kernel = ops.convert_to_tensor(self.kernel)
        if self.kernel_quantizer is not None:
            kernel = self.kernel_quantizer(kernel, filter_axes=self.filter_axes)
        return ops.cast(kernel, self.compute_dtype)

    def binarized_kernel(self) -> BinarizedKernel:
        """Return the kernel as NumPy arrays of levels and of one scale a filter.

        Raises:
            KerasCompressError: If the layer is not built.
        """
        if not self.built:
            raise KerasCompressError(
                "A layer has a kernel once it is built. Received: "
                f"{self.name!r} unbuilt. Run it once, or give its model an `Input`."
            )
        kernel = ops.convert_to_tensor(self.kernel)
        rank = len(kernel.shape)
        axes = [axis % rank for axis in self.filter_axes]
        filters = int(np.prod([kernel.shape[axis] for axis in axes]))
        quantizer = self.kernel_quantizer
        levels = kernel if quantizer is None else quantizer.levels_of(kernel)
        scale = None if quantizer is None else quantizer.scale_of(kernel, self.filter_axes)
        array = np.asarray(ops.convert_to_numpy(levels))
        return BinarizedKernel(
            array.astype(np.int8 if self.has_binary_kernel else np.float32),
            np.ones(filters, np.float32)
            if scale is None
            else np.asarray(ops.convert_to_numpy(scale), np.float32).reshape(filters),
        )

    def quantize_inputs(self, inputs: Tensor) -> Tensor:
        """Return the inputs as they meet the kernel, before padding."""
        return inputs if self.input_quantizer is None else self.input_quantizer(inputs)

    def _quantizer_config(self) -> dict[str, Any]:
        return {
            "input_quantizer": keras.saving.serialize_keras_object(self.input_quantizer),
            "kernel_quantizer": keras.saving.serialize_keras_object(self.kernel_quantizer),
        }


@keras.saving.register_keras_serializable(package="keras_compress")
def is_binary_variable(variable: keras.Variable) -> bool:
    """Return whether a variable is the latent kernel of a layer that uses its signs only."""
    return bool(getattr(variable, "binary", False))


@contextlib.contextmanager
def constant_kernel(layer: BinaryLayer, kernel: np.ndarray) -> Iterator[None]:
    """Let `layer` compute with a finished kernel within the block, in this thread."""
    token = _CONSTANT_KERNELS.set({**(_CONSTANT_KERNELS.get() or {}), id(layer): kernel})
    try:
        yield
    finally:
        _CONSTANT_KERNELS.reset(token)


def kernel_constraint_for(constraint: object, quantizer: Quantizer | None) -> Any:
    """Return the constraint that `constraint` names; `"auto"` clips where gradients end."""
    if constraint == "auto":
        return WeightClip() if quantizer is not None and quantizer.clips_gradient else None
    if constraint == "weight_clip":
        return WeightClip()
    return constraint


def check_input_scale(input_scale: bool, quantizer: Quantizer | None) -> bool:
    """Return `input_scale`, or say that K is the scale of binarized inputs alone."""
    if input_scale and (quantizer is None or not quantizer.is_sign):
        raise KerasCompressError(
            "`input_scale` is XNOR-Net's K, the magnitude that signs of inputs have lost: it "
            "needs an `input_quantizer` to -1 and +1. Received: "
            f"input_scale={input_scale!r} with input_quantizer={quantizer!r}."
        )
    return bool(input_scale)
