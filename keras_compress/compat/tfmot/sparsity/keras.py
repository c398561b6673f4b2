"""`tfmot.sparsity.keras`."""

from keras_compress.compat.tfmot.sparsity.callbacks import PruningSummaries, UpdatePruningStep
from keras_compress.compat.tfmot.sparsity.policies import PruneForLatencyOnXNNPack, PruningPolicy
from keras_compress.compat.tfmot.sparsity.prunable import PrunableLayer
from keras_compress.compat.tfmot.sparsity.prune import (
    prune_low_magnitude,
    prune_scope,
    strip_pruning,
)
from keras_compress.compat.tfmot.sparsity.schedules import (
    ConstantSparsity,
    PolynomialDecay,
    PruningSchedule,
)

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "prune_low_magnitude",
    "prune_scope",
    "strip_pruning",
]
