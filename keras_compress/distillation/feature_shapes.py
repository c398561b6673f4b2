"""What the losses on feature maps share: naming layers, and bringing maps to one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


def require_layer_names(loss: str, teacher_layer_name: object, student_layer_name: object) -> None:
    """Raise unless both names are given."""
    for argument, value in (
        ("teacher_layer_name", teacher_layer_name),
        ("student_layer_name", student_layer_name),
    ):
        if not isinstance(value, str) or not value:
            raise KerasCompressError(
                f"`{loss}` compares the outputs of two layers and needs the name of each. "
                f"Received: {argument}={value!r}."
            )


def require_fitting_ranks(
    names: tuple[str, str], teacher_shape: Any, student_shape: Any, *, rank: int | None = None
) -> None:
    """Raise unless both shapes have one rank (`rank` itself, where it is given).

    Maps may differ in height and width; in all other shapes the positions must be the same.
    """
    ranks = len(teacher_shape), len(student_shape)
    same = ranks[0] == ranks[1] and rank in (None, ranks[0])
    if same and ranks[0] != 4:
        places = zip(teacher_shape[1:-1], student_shape[1:-1], strict=True)
        same = all(a == b or a is None or b is None for a, b in places)
    if same:
        return
    wanted = "shapes of one rank and as many steps"
    if rank is not None:
        wanted = f"shapes of rank {rank} (channels last)"
    raise KerasCompressError(
        f"The two layers of a hint need {wanted}. Received: teacher layer {names[0]!r} with "
        f"{tuple(teacher_shape)} and student layer {names[1]!r} with {tuple(student_shape)}. "
        "Choose layers of the same kind."
    )


def require_channels_last(*models: Any) -> None:
    """Raise if a layer of a model has its channels first, where losses would sum over columns."""
    for model in models:
        for _, layer in iter_layers(model):
            if getattr(layer, "data_format", None) == "channels_first":
                raise KerasCompressError(
                    "Losses on layers need maps (batch, height, width, channels). Received: "
                    f"{model.name!r}, whose {layer.name!r} has its channels first. Build the "
                    'model with `data_format="channels_last"`.'
                )


def resized_like(features: Tensor, other: Any) -> Tensor:
    """Return maps `(batch, height, width, channels)` at the height and width of `other`.

    Larger maps are averaged over areas where the sizes divide and interpolated elsewhere.

    Raises:
        KerasCompressError: If the size of a map isn't known.
    """
    if len(features.shape) == 4 and None in (*features.shape[1:3], *other.shape[1:3]):
        raise KerasCompressError(
            "Losses on layers need maps of known height and width. Received: "
            f"{tuple(features.shape)} of the teacher and {tuple(other.shape)} of the student. "
            "Give the data set batches of one size of image."
        )
    if len(features.shape) != 4 or tuple(features.shape[1:3]) == tuple(other.shape[1:3]):
        return features
    height, width = int(other.shape[1]), int(other.shape[2])
    if features.shape[1] % height == 0 and features.shape[2] % width == 0:
        strides = (features.shape[1] // height, features.shape[2] // width)
        return keras.ops.average_pool(
            features, strides, strides, "valid", data_format="channels_last"
        )
    return keras.ops.image.resize(
        features, (height, width), interpolation="bilinear", data_format="channels_last"
    )
