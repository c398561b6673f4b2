"""Models that were trained on the integers of their file, and know the ranges of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_compress.errors import ExportError

if TYPE_CHECKING:
    import keras

__all__ = ["check_trained_ranges", "has_trained_ranges", "simulation_notes"]

# Of all numbers of a result; what lies half way between two integers may become either.
_MIN_AGREEMENT = 0.999


def has_trained_ranges(model: keras.Model) -> bool:
    """Whether a model has layers that hold ranges, by which it is quantized without calibration."""
    import keras

    from keras_compress.exporter.checks import layers_of

    if not isinstance(model, keras.Model):
        return False
    return any(hasattr(layer, "trained_range") for layer in layers_of(model))


def check_trained_ranges(*, precision: str, has_data: bool, per_channel: bool) -> None:
    """Raise `ExportError` for settings that a model with trained ranges has no use for."""
    if precision != "int8":
        raise ExportError(
            'A model with trained ranges is exported with precision="int8". Received: '
            f'precision="{precision}". For a float file, export '
            "`quantization.finalize(model, keep_ranges=False)`."
        )
    if has_data or not per_channel:
        raise ExportError(
            "A model with trained ranges brings its own ranges and steps. Received: "
            f"{'`representative_data`' if has_data else 'per_channel=False'}. Leave it out; "
            "give data to compare on as `samples`."
        )


def simulation_notes(verification: Any) -> list[str]:
    """Which results of the file aren't what the model simulated, one sentence each."""
    return [
        f"Only {output.within_one_step:.2%} of result {output.name!r} are within one step of what "
        "the model simulates. Compare with verify_layers=True to find out where; a LeakyReLU, "
        "which XNNPACK computes in few digits, does this."
        for output in verification.outputs
        if output.within_one_step is not None and output.within_one_step < _MIN_AGREEMENT
    ]
