"""The block of a binary net: batch normalization, activation, convolution, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.binary.activation import Quantize
from keras_compress.binary.convolution import BinaryConv2D
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["bacp_block", "check_method"]

# What of a block's convolution is binarized, and with which scales.
_METHODS: dict[str, dict[str, Any]] = {
    "float": {},
    "bwn": {"input_quantizer": None},
    "xnor": {},
    "xnor_k": {"input_scale": True},
}


def check_method(method: str) -> str:
    """Return `method`, or say which there are.

    Raises:
        KerasCompressError: If it is unknown.
    """
    if method not in _METHODS:
        raise KerasCompressError(
            f"`method` must be one of {', '.join(map(repr, _METHODS))}. "
            f"Received: method={method!r}."
        )
    return method


def bacp_block(
    x: Tensor,
    filters: int,
    kernel_size: int | Sequence[int] = 3,
    *,
    strides: int = 1,
    padding: str = "same",
    pool_size: int | None = None,
    method: str = "xnor",
    order: str = "BACP",
    name: str | None = None,
    **convolution: Any,
) -> Tensor:
    """Apply XNOR-Net's block, B-A-C-P (arXiv 1603.05279, section 3.2, figure 3), to `x`.

    Batch normalization, activation, convolution, max-pooling. Normalizing first spreads the
    signs evenly; pooling real sums, not signs, keeps what the maximum of signs would lose. The
    activation is the sign where inputs are binarized (the convolution's own), else a ReLU.

    Args:
        x: A Keras tensor `(batch, height, width, channels)`.
        filters: Number of output channels.
        kernel_size: Height and width of the kernel. Defaults to `3`.
        strides: Steps down and across. Defaults to `1`.
        padding: `"same"` or `"valid"`. Defaults to `"same"`.
        pool_size: Size of the max-pooling, or `None` for none. Defaults to `None`.
        method: `"xnor"` (binary inputs and kernel), `"xnor_k"` (with the scale K of the inputs
            too), `"bwn"` (binary kernel only) or `"float"` (a `Conv2D`, for comparison).
            Defaults to `"xnor"`.
        order: `"BACP"`, or `"CBAP"`, the usual order, for the paper's ablation. Defaults to
            `"BACP"`.
        name: Prefix of the layers' names. Defaults to `None`.
        **convolution: Other arguments of `BinaryConv2D`, or of `Conv2D` if `"float"`.

    Raises:
        KerasCompressError: If `method` or `order` is unknown.
    """
    if order not in ("BACP", "CBAP"):
        raise KerasCompressError(f'`order` must be "BACP" or "CBAP". Received: order={order!r}.')
    options = {**_METHODS[check_method(method)], **convolution}

    def named(part: str) -> str | None:
        return None if name is None else f"{name}_{part}"

    def convolve(x: Tensor) -> Tensor:
        layer = keras.layers.Conv2D if method == "float" else BinaryConv2D
        bias = {"use_bias": False} | options
        return layer(
            filters, kernel_size, strides=strides, padding=padding, name=named("conv"), **bias
        )(x)

    signs = method.startswith("xnor")
    normalize = keras.layers.BatchNormalization(name=named("bn"))
    if order == "BACP":
        x = normalize(x)
        x = convolve(x if signs else keras.layers.ReLU(name=named("relu"))(x))
    else:
        x = normalize(convolve(x))
        x = Quantize(name=named("sign"))(x) if signs else keras.layers.ReLU(name=named("relu"))(x)
    return x if pool_size is None else keras.layers.MaxPooling2D(pool_size, name=named("pool"))(x)
