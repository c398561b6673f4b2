"""Pruning: a pattern, a criterion and a schedule set weights to zero while a model trains."""

from keras_compress.engine.lifecycle import finalize
from keras_compress.pruning.callback import PruningCallback
from keras_compress.pruning.config import PruningConfig
from keras_compress.pruning.criteria import Criterion, Magnitude, Random, Taylor
from keras_compress.pruning.iterative import (
    PruningRound,
    layer_configs,
    prune_iteratively,
    threshold_rates,
)
from keras_compress.pruning.lifecycle import prepare, report
from keras_compress.pruning.patterns import Blocks, Filters, NofM, Pattern, Unstructured
from keras_compress.pruning.pruner import Pruner
from keras_compress.pruning.schedules import (
    ConstantSparsity,
    OneShot,
    PolynomialDecay,
    PruningSchedule,
    StaircaseSparsity,
)
from keras_compress.pruning.sensitivity import (
    Accuracy,
    LayerSensitivity,
    Sensitivity,
    scan_sensitivity,
)
from keras_compress.pruning.surgery import (
    SurgeryCallback,
    SurgeryConfig,
    SurgeryPruned,
    prepare_surgery,
)
from keras_compress.pruning.wrapper import Pruned

__all__ = [
    "Accuracy",
    "Blocks",
    "ConstantSparsity",
    "Criterion",
    "Filters",
    "LayerSensitivity",
    "Magnitude",
    "NofM",
    "OneShot",
    "SurgeryPruned",
    "Pattern",
    "PolynomialDecay",
    "Pruned",
    "Pruner",
    "PruningCallback",
    "PruningConfig",
    "PruningRound",
    "PruningSchedule",
    "Random",
    "Sensitivity",
    "StaircaseSparsity",
    "SurgeryCallback",
    "SurgeryConfig",
    "Taylor",
    "Unstructured",
    "finalize",
    "layer_configs",
    "prepare",
    "prepare_surgery",
    "prune_iteratively",
    "report",
    "scan_sensitivity",
    "threshold_rates",
]
