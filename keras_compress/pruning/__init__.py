"""Magnitude pruning: set the smallest weights to zero along a schedule, during training."""

from keras_compress.pruning.callback import PruningCallback
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.filters import FilterPruner, FilterPruningCallback, filter_mask
from keras_compress.pruning.iterative import (
    PruningRound,
    StaircaseSparsity,
    layer_configs,
    prune_iteratively,
    threshold_rates,
)
from keras_compress.pruning.lifecycle import finalize, prepare, report
from keras_compress.pruning.masks import global_magnitude_masks, magnitude_mask
from keras_compress.pruning.pruner import Pruner
from keras_compress.pruning.schedules import (
    ConstantSparsity,
    OneShot,
    PolynomialDecay,
    PruningSchedule,
)
from keras_compress.pruning.sensitivity import (
    Accuracy,
    LayerSensitivity,
    Sensitivity,
    scan_sensitivity,
)
from keras_compress.pruning.surgery import (
    Operated,
    SurgeryCallback,
    SurgeryConfig,
    prepare_surgery,
)
from keras_compress.pruning.wrapper import Pruned

__all__ = [
    "Accuracy",
    "ConstantSparsity",
    "FilterPruner",
    "FilterPruningCallback",
    "LayerSensitivity",
    "OneShot",
    "Operated",
    "PolynomialDecay",
    "Pruned",
    "Pruner",
    "PruningCallback",
    "PruningConfig",
    "PruningRound",
    "PruningSchedule",
    "Sensitivity",
    "StaircaseSparsity",
    "SurgeryCallback",
    "SurgeryConfig",
    "filter_mask",
    "finalize",
    "global_magnitude_masks",
    "layer_configs",
    "magnitude_mask",
    "prepare",
    "prepare_surgery",
    "prune_iteratively",
    "report",
    "scan_sensitivity",
    "threshold_rates",
]
