"""Magnitude pruning: set the smallest weights to zero along a schedule, during training."""

from keras_compress.pruning.callback import PruningCallback
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.lifecycle import finalize, prepare, report
from keras_compress.pruning.masks import global_magnitude_masks, magnitude_mask
from keras_compress.pruning.pruner import Pruner
from keras_compress.pruning.schedules import (
    ConstantSparsity,
    OneShot,
    PolynomialDecay,
    PruningSchedule,
)
from keras_compress.pruning.wrapper import Pruned

__all__ = [
    "ConstantSparsity",
    "OneShot",
    "PolynomialDecay",
    "Pruned",
    "Pruner",
    "PruningCallback",
    "PruningConfig",
    "PruningSchedule",
    "finalize",
    "global_magnitude_masks",
    "magnitude_mask",
    "prepare",
    "report",
]
