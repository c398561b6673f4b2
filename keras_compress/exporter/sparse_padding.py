"""Gives a net the paddings that XNNPACK's sparse kernels want, before it is trained on."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from keras_compress.errors import ExportError

if TYPE_CHECKING:
    import keras

    from keras_compress.copying.layer_copy import LayerCopy

__all__ = ["pad_for_sparse_kernels"]


def pad_for_sparse_kernels(model: keras.Model) -> keras.Model:
    """Return a copy of `model` whose convolutions of stride 2 have the same padding on each side.

    The runtime's sparse kernels want `ZeroPadding2D((k - 1) / 2)` and "valid" where Keras' "same"
    pads one side more than the other. Such layers are replaced, and the asymmetric
    `ZeroPadding2D` of Keras' MobileNets made symmetric; weights and sizes stay. What the
    convolution sees is shifted by a pixel, so prune, or at least fine-tune, the copy: this is a
    step before training, not after it. `check_sparse_runtime` tells whether the rest fits.

    Example:

    ```python
    model = exporter.pad_for_sparse_kernels(keras.applications.MobileNet(alpha=0.5))
    # ... prune its 1x1 convolutions by 80 % while training ...
    exported = exporter.convert(model, sparse=True)
    assert exporter.check_sparse_runtime(exported.tflite).holds
    ```

    Args:
        model: A built Sequential or functional model.

    Raises:
        ExportError: If the model is unbuilt or subclassed, or a size would change.
        KerasCompressError: If a layer can't be copied.
    """
    import keras

    from keras_compress.copying.graph_copy import GraphCopy, holders_of

    if not isinstance(model, keras.Model) or not model.built:
        raise ExportError(f"`model` must be a built `keras.Model`. Received: {model!r}.")
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise ExportError(
            "Layers can be replaced in Sequential and functional models. Received: "
            f"{model.name!r}, a subclassed {type(model).__name__}. Change its paddings by hand: "
            "ZeroPadding2D(1) before, and padding='valid' in, each convolution of stride 2."
        )
    holders = holders_of(model)

    def replace(layer: keras.Layer, copied: LayerCopy) -> keras.Layer:
        copied.complete()
        copy = copied.copy
        if isinstance(layer, keras.layers.ZeroPadding2D):
            if layer.padding == ((0, 1), (0, 1)):
                return _padding_of(1, layer, layer.name, keras)
        elif _needs_padding(layer, keras) and len(holders[id(layer.weights[0])]) == 1:
            copy.padding = "valid"
            pad = _padding_of((layer.kernel_size[0] - 1) // 2, layer, f"{layer.name}_pad", keras)
            # One layer under the old name, so that the graph around it stays as it is; of any
            # height and width, for a layer may be called on images of several.
            channels = layer.kernel.shape[-2] * getattr(layer, "groups", 1)
            first = layer.data_format == "channels_first"
            shape = (channels, None, None) if first else (None, None, channels)
            return keras.Sequential([keras.Input(shape), pad, copy], name=layer.name)
        return copy

    copy = GraphCopy(model, replace).copy()
    sizes = [[tuple(tensor.shape) for tensor in each.outputs] for each in (model, copy)]
    if sizes[0] != sizes[1]:
        raise ExportError(
            "Padding must leave the sizes as they are. Received: "
            f"{model.name!r} with {sizes[0]}, which became {sizes[1]}. Use "
            "images whose sides are even at every convolution of stride 2."
        )
    return copy


def _padding_of(amount: int, layer: keras.Layer, name: str, keras: ModuleType) -> keras.Layer:
    return keras.layers.ZeroPadding2D(
        amount, data_format=layer.data_format, dtype=layer.dtype_policy, name=name
    )


def _needs_padding(layer: keras.Layer, keras: ModuleType) -> bool:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    if not isinstance(layer, kinds) or transposed or layer.padding != "same":
        return False
    square = layer.kernel_size[0] == layer.kernel_size[1] and layer.kernel_size[0] in (3, 5)
    return tuple(layer.strides) == (2, 2) and square
