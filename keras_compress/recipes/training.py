"""The training half of the demo: a baseline, fewer channels, then pruned, then shared values.

Every step hands the next a plain Keras model, and none changes the model it was given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_compress.recipes.image_data import ImageData
from keras_compress.recipes.settings import DemoSettings, Phase, build_model
from keras_compress.search.progress import Progress, progress_callback

if TYPE_CHECKING:
    import keras

    from keras_compress.channel_pruning import ChannelReport

__all__ = ["TrainedModels", "train"]

_SCORED_IMAGES = 1024


@dataclass(frozen=True)
class TrainedModels:
    """The model after each stage, finalized, and what each technique reported."""

    baseline: keras.Model
    narrow: keras.Model
    pruned: keras.Model
    clustered: keras.Model
    channel_report: ChannelReport
    pruning_report: dict[str, Any]
    clustering_report: dict[str, Any]


def train(data: ImageData, settings: DemoSettings, progress: Progress) -> TrainedModels:
    """Train the net of `settings` on `data`, remove channels, prune it, cluster it.

    Draws from Keras' global generators: seed them with `keras.utils.set_random_seed` first.
    """
    from keras_compress import channel_pruning, clustering, pruning
    from keras_compress.engine.cloning import copy_model

    baseline = build_model(settings, data)
    progress.begin("Train the baseline", _steps(data, settings, settings.baseline))
    progress.end(_fit(baseline, data, settings, settings.baseline, [], progress))

    cut = channel_pruning.prune(
        baseline,
        channel_pruning.Target(macs=settings.macs_left),
        criterion="taylor",
        x=data.x_train[:_SCORED_IMAGES],
        y=data.y_train[:_SCORED_IMAGES],
    )
    narrow, channel_report = cut.model, cut.report
    progress.begin("Remove channels", _steps(data, settings, settings.narrowing))
    summary = _fit(narrow, data, settings, settings.narrowing, [], progress)
    left = channel_report.after["macs"] / channel_report.before["macs"]
    progress.end(f"{summary}, {left:.0%} of the multiply-accumulates left")

    steps = _steps(data, settings, settings.pruning)
    rising = max(1, round(steps * settings.ramp))
    working = copy_model(narrow)
    callbacks = [
        pruning.PruningCallback(
            pruning.PruningConfig(
                schedule=pruning.PolynomialDecay(0.0, plan.sparsity, begin_step=0, end_step=rising),
                layers=[plan.layer],
                frequency=max(1, rising // settings.mask_updates),
            )
        )
        for plan in settings.plans
    ]
    progress.begin("Prune during fit", steps)
    summary = _fit(working, data, settings, settings.pruning, callbacks, progress)
    pruning_report = pruning.report(working).to_dict()
    pruned = pruning.finalize(working)
    progress.end(f"{summary}, {pruning_report['sparsity']:.1%} zeros")

    working = copy_model(pruned)
    callbacks = [
        clustering.ClusteringCallback(
            clustering.ClusteringConfig(
                n_clusters=plan.n_clusters, init="kmeans", layers=[plan.layer]
            )
        )
        for plan in settings.plans
    ]
    progress.begin("Train shared values", _steps(data, settings, settings.clustering))
    summary = _fit(working, data, settings, settings.clustering, callbacks, progress)
    clustering_report = clustering.report(working).to_dict()
    clustered = clustering.finalize(working)
    progress.end(summary)
    return TrainedModels(
        baseline, narrow, pruned, clustered, channel_report, pruning_report, clustering_report
    )


def _steps(data: ImageData, settings: DemoSettings, phase: Phase) -> int:
    return phase.epochs * math.ceil(len(data.x_train) / settings.batch_size)


def _fit(
    model: keras.Model,
    data: ImageData,
    settings: DemoSettings,
    phase: Phase,
    callbacks: Sequence[object],
    progress: Progress,
) -> str:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        phase.learning_rate, _steps(data, settings, phase)
    )
    model.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        data.x_train,
        data.y_train,
        batch_size=settings.batch_size,
        epochs=phase.epochs,
        callbacks=[*callbacks, progress_callback(progress, phase.epochs)],
        verbose=0,
    )
    return f"training accuracy {history.history['accuracy'][-1]:.2%}"
