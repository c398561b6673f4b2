"""The loss of a model without some of its channels, worked out many times over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.masking import read_variables
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.engine.cloning import copy_model
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["MaskedLoss"]


class MaskedLoss:
    """Gives the mean loss of a copy of a model in which some channels aren't read.

    Args:
        groups: The groups of the model.
        x: Inputs, arrays in the structure of the model's, samples first.
        y: Targets.
        loss: A loss, its name, or a function of targets and outputs; `None` for that of the
            compiled model. Defaults to `None`.
        reestimate: Samples of `x` that the statistics of batch normalization are taken anew on,
            each time; 0 leaves them as they are. Defaults to `0`.
        batch_size: Samples at a time. Defaults to `64`.

    Raises:
        KerasCompressError: If there is no loss.
    """

    def __init__(
        self,
        groups: ChannelGroups,
        x: Tensor,
        y: Tensor,
        loss: object = None,
        *,
        reestimate: int = 0,
        batch_size: int = 64,
    ) -> None:
        model = groups.model
        loss = getattr(model, "loss", None) if loss is None else loss
        if loss is None:
            raise KerasCompressError(
                f"Channels are judged by a loss. Received: {model.name!r}, which isn't compiled "
                "with one. Pass `loss`, or compile the model."
            )
        self._groups = groups
        self._net = copy_model(model)
        self._net.compile(loss=loss)
        self._x, self._y = x, y
        self._few = keras.tree.map_structure(lambda a: np.asarray(a[:reestimate]), x)
        self._reestimate = reestimate
        self._batch_size = batch_size
        self._reads = read_variables(groups.analysis, self._net)
        self._originals = [np.array(keras.ops.convert_to_numpy(r.variable)) for r in self._reads]
        self._statistics = [
            (variable, np.array(keras.ops.convert_to_numpy(variable)))
            for _, layer in iter_layers(self._net)
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]

    def __call__(self, masks: Mapping[str, NDArray[np.bool_]]) -> float:
        """Return the mean loss with only the channels in `masks` of some groups.

        Raises:
            KerasCompressError: If the loss of the whole model isn't finite.
        """
        keep = self._groups.keep_mask(masks)
        for each, values in zip(self._reads, self._originals, strict=True):
            each.variable.assign(values * each.mask(keep))
        if self._reestimate:
            reestimate_statistics(self._net, self._few, batch_size=self._batch_size)
        try:
            found = self._net.evaluate(
                self._x, self._y, batch_size=self._batch_size, verbose=0, return_dict=True
            )
        finally:
            for variable, values in self._statistics if self._reestimate else ():
                variable.assign(values)
        value = float(found["loss"])
        if not np.isfinite(value):
            if all(mask.all() for mask in masks.values()):
                raise KerasCompressError(
                    f"The loss of a model must be finite to be compared with. Received: {value}. "
                    "Check the samples, and that the model was trained."
                )
            value = np.inf
        return value
