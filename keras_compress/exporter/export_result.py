"""What came of a conversion: the file, what is known about it, and its warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_compress.exporter.binary_rewrite import FALLBACK_NAME
from keras_compress.exporter.preservation import Preservation
from keras_compress.exporter.verification import Verification

if TYPE_CHECKING:
    from keras_compress.exporter.shuffle_folding import FoldedShuffle

__all__ = ["BinaryParts", "Export", "ExportWarning"]


class ExportWarning(UserWarning):
    """The conversion worked, but what training made did not survive, or results are far off."""


@dataclass(frozen=True)
class Export:
    """A converted model and what is known about it.

    Attributes:
        tflite: The bytes of the `.tflite` file.
        precision: What it was converted to.
        options: The settings it was converted with.
        verification: How far its results are from the Keras model's; `None` if not verified.
        preservation: What became of zeros and shared values.
        operators: Names of the operators in the file.
        notes: What a user should know, one sentence each; also raised as warnings.
        binary: What runs on bits, and the fallback in built-in operators; `None` for a model
            without binary layers.
        shuffles: Each shuffle of channels: what it was folded into, or why it stayed.
    """

    tflite: bytes = field(repr=False)
    precision: str
    options: dict[str, Any]
    verification: Verification | None
    preservation: Preservation
    operators: tuple[str, ...]
    notes: tuple[str, ...]
    binary: BinaryParts | None = None
    shuffles: tuple[FoldedShuffle, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the bytes, ready for JSON."""
        return {
            "precision": self.precision,
            "options": dict(self.options),
            "tflite_bytes": len(self.tflite),
            "operators": list(self.operators),
            "notes": list(self.notes),
            "verification": self.verification.to_dict() if self.verification else None,
            "preservation": self.preservation.to_dict(),
            "binary": self.binary.to_dict() if self.binary else None,
            "shuffles": [shuffle.to_dict() for shuffle in self.shuffles],
        }


@dataclass(frozen=True)
class BinaryParts:
    """What runs on bits in a converted file, and the file's fallback.

    Attributes:
        fallback: The `Export` of the same model in built-in operators alone, verified.
        layers: Names of the results of layers that compute with bits.
        packed_weights: Names of kernels stored as bits for layers with real inputs.
        passed_as_bits: Names of tensors that go from layer to layer as bits.
        fallback_difference: Largest difference between a result of the file and its fallback's,
            relative: Euclidean norm of the difference over that of the fallback's. `None` if not
            verified.
    """

    fallback: Export
    layers: tuple[str, ...]
    packed_weights: tuple[str, ...]
    passed_as_bits: tuple[str, ...]
    fallback_difference: float | None

    @property
    def advice(self) -> str:
        """How to open the two files, in one sentence."""
        return (
            "Open model.tflite with keras_compress.load_interpreter, which loads the binary "
            f"kernels; {FALLBACK_NAME} is the same net in built-in operators, for any runtime."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the fallback's bytes, ready for JSON."""
        return {
            "fallback": FALLBACK_NAME,
            "fallback_bytes": len(self.fallback.tflite),
            "layers": list(self.layers),
            "packed_weights": list(self.packed_weights),
            "passed_as_bits": list(self.passed_as_bits),
            "fallback_difference": self.fallback_difference,
            "advice": self.advice,
        }
