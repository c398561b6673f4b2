"""The settings of the demo: which net, how long, how sparse, how many shared values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from keras_compress.errors import KerasCompressError
from keras_compress.recipes.image_data import ImageData

if TYPE_CHECKING:
    import keras

__all__ = ["DemoSettings", "LayerPlan", "Phase", "build_model", "settings_for"]


@dataclass(frozen=True)
class Phase:
    """One call of `fit`: `epochs`, and the Adam learning rate from which a cosine falls to 0."""

    epochs: int
    learning_rate: float

    def __post_init__(self) -> None:
        if self.epochs < 1 or not self.learning_rate > 0:
            raise KerasCompressError(
                "A phase must have at least one epoch and a positive learning rate. "
                f"Received: epochs={self.epochs}, learning_rate={self.learning_rate}"
            )


@dataclass(frozen=True)
class LayerPlan:
    """What to do with the kernel of one layer.

    Args:
        layer: Name of the layer.
        sparsity: Share of its weights to prune, in [0, 1).
        n_clusters: Number of values its weights share afterwards, zero included.
    """

    layer: str
    sparsity: float
    n_clusters: int


@dataclass(frozen=True)
class DemoSettings:
    """All settings of the demo but the seed.

    Args:
        architecture: Name of a function in `keras_compress.architectures`.
        plans: What to do with which layer; layers without a plan are left alone.
        baseline: How to train the untouched net.
        narrowing: How to go on once channels are removed.
        pruning: How to go on while it is pruned.
        clustering: How to go on with shared values.
        macs_left: Share of the multiply-accumulates that is left when channels are removed, between
            0 and 1. Defaults to `0.4`.
        batch_size: Images a step. Defaults to `32`.
        ramp: Share of the pruning steps over which the sparsity rises; the rest recovers.
            Defaults to `0.6`.
        mask_updates: How often the masks are made anew while it rises. Defaults to `50`.
        calibration_images: Training images the int8 ranges are measured on. Defaults to `300`.
        timed_runs: Fewest inferences a model is timed over. Defaults to `200`.
        timed_seconds: Least time it is timed for, in seconds. Defaults to `0.5`.
    """

    architecture: str
    plans: tuple[LayerPlan, ...]
    baseline: Phase
    narrowing: Phase
    pruning: Phase
    clustering: Phase
    macs_left: float = 0.4
    batch_size: int = 32
    ramp: float = 0.6
    mask_updates: int = 50
    calibration_images: int = 300
    timed_runs: int = 200
    timed_seconds: float = 0.5

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that `json.dumps` takes."""
        record = asdict(self)
        record["plans"] = {
            plan.layer: {"sparsity": plan.sparsity, "n_clusters": plan.n_clusters}
            for plan in self.plans
        }
        return record


_DIGITS = DemoSettings(
    architecture="digits_cnn",
    plans=(
        LayerPlan("conv1", 0.3, 16),
        LayerPlan("conv2", 0.75, 16),
        LayerPlan("hidden", 0.85, 16),
        LayerPlan("classifier", 0.5, 16),
    ),
    baseline=Phase(40, 2e-3),
    narrowing=Phase(20, 1e-3),
    pruning=Phase(60, 1e-3),
    clustering=Phase(25, 5e-4),
)

_LENET_5 = DemoSettings(
    architecture="lenet_5",
    plans=(
        LayerPlan("conv1", 0.4, 16),
        LayerPlan("conv2", 0.93, 12),
        LayerPlan("ip1", 0.985, 8),
        LayerPlan("ip2", 0.8, 12),
    ),
    baseline=Phase(8, 1e-3),
    narrowing=Phase(3, 1e-3),
    pruning=Phase(12, 1e-3),
    clustering=Phase(5, 5e-4),
    batch_size=128,
)

_SMALL_CNN = DemoSettings(
    architecture="small_cnn",
    plans=(
        LayerPlan("stage1_conv1", 0.3, 16),
        LayerPlan("stage1_conv2", 0.6, 16),
        LayerPlan("stage2_conv1", 0.75, 16),
        LayerPlan("stage2_conv2", 0.75, 16),
        LayerPlan("stage3_conv1", 0.8, 16),
        LayerPlan("stage3_conv2", 0.8, 16),
        LayerPlan("hidden", 0.8, 16),
        LayerPlan("classifier", 0.5, 16),
    ),
    baseline=Phase(10, 1e-3),
    narrowing=Phase(4, 1e-3),
    pruning=Phase(10, 1e-3),
    clustering=Phase(3, 5e-4),
    batch_size=64,
)
# Below this many training images a phase gets more epochs, so that it has steps enough.
_MANY_IMAGES = 20_000
_MAX_EPOCHS = 60


def settings_for(data: ImageData) -> DemoSettings:
    """Return the settings the demo uses for `data`.

    28x28 grey images (MNIST and its kin) train LeNet-5, 8x8 grey ones the digits CNN, all
    others a small CNN that fits their size.
    """
    if data.image_shape == (28, 28, 1):
        return _for_few_images(_LENET_5, len(data.x_train))
    if data.image_shape == (8, 8, 1):
        return _DIGITS
    return _for_few_images(_small_cnn_settings(data), len(data.x_train))


def _small_cnn_settings(data: ImageData) -> DemoSettings:
    present = {layer.name for layer in build_model(_SMALL_CNN, data).layers}
    return replace(
        _SMALL_CNN, plans=tuple(plan for plan in _SMALL_CNN.plans if plan.layer in present)
    )


def _for_few_images(settings: DemoSettings, images: int) -> DemoSettings:
    factor = max(1.0, _MANY_IMAGES / images)
    longer = {
        name: replace(phase, epochs=min(_MAX_EPOCHS, round(phase.epochs * factor)))
        for name in ("baseline", "narrowing", "pruning", "clustering")
        if (phase := getattr(settings, name))
    }
    return replace(settings, **longer)


def build_model(settings: DemoSettings, data: ImageData) -> keras.Model:
    """Return the untrained net of `settings` for the images and classes of `data`."""
    from keras_compress import architectures

    build = getattr(architectures, settings.architecture)
    return build(data.image_shape, data.classes)
