"""What a user should know of a conversion that worked, one sentence each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from keras_compress.exporter.comparison import OutputError
from keras_compress.exporter.integer_range import clipped_inputs
from keras_compress.exporter.preservation import Preservation
from keras_compress.exporter.shuffle_folding import FoldedShuffle
from keras_compress.exporter.verification import Verification
from keras_compress.tflite.model_file import TfliteFile

__all__ = ["preservation_notes", "shuffle_summary", "sparse_notes", "verification_notes"]

# What rounding alone costs a sound net stays below these, as a share of the results' norm and of
# their spread. float32 reorders sums and no more.
_SUSPICIOUS_ERROR = {"float32": 0.01, "float16": 0.02, "dynamic": 0.1, "int8": 0.2, "int16x8": 0.1}
# Quantized nets that are any good keep the largest entry in 19 of 20 samples and more.
_FEWEST_SAME = 0.9
_FEWEST_SAMPLES = 10
# A few values beyond the ends are what clipping is for.
_MAX_CLIPPED = 0.01


def verification_notes(
    verification: Verification, precision: str, file: TfliteFile, rows: dict[str, np.ndarray]
) -> list[str]:
    """Which results are further from Keras' than the precision accounts for.

    Args:
        verification: How far the results are off.
        precision: What the model was converted to.
        file: The converted file.
        rows: For each argument of its signature, the samples it was verified on.
    """
    notes = []
    for name, (share, low, high) in clipped_inputs(file, rows).items():
        if share > _MAX_CLIPPED:
            notes.append(
                f"{share:.1%} of the samples' values for input {name!r} lie outside {low:.4g} to "
                f"{high:.4g}, all that the file can take: the representative data had another "
                "range. Calibrate on data like the samples."
            )
    for output in verification.outputs:
        if output.saturated > _MAX_CLIPPED:
            notes.append(
                f"{output.saturated:.1%} of result {output.name!r} lie beyond what the file can "
                "hold and are cut off: the representative data didn't reach that far. Calibrate "
                "on data like the samples."
            )
        found = _findings(output, verification, precision)
        if found:
            notes.append(
                f"Result {output.name!r} {' and '.join(found)} on {verification.samples} samples "
                f"({verification.data}), too far for {precision}. {_REMEDIES[precision]}"
            )
    return notes


_WHERE = "Compare with verify_layers=True to find out where."
_REMEDIES = {
    "float32": _WHERE,
    "float16": f'{_WHERE} precision="float32" has no such error.',
    "dynamic": f'{_WHERE} precision="float16" keeps more digits.',
    "int16x8": f'{_WHERE} precision="float16" keeps more digits of the weights.',
    "int8": (
        f'{_WHERE} precision="dynamic" keeps activations in float; encode and normalize inputs '
        "before the model."
    ),
}


def _findings(output: OutputError, verification: Verification, precision: str) -> list[str]:
    limit = _SUSPICIOUS_ERROR[precision]
    found = []
    if output.relative_error is None:
        # Keras' result is all zeros, and this isn't.
        found.append(f"is up to {output.max_abs_error:.3g} where the Keras model's is 0")
    elif output.relative_error > limit:
        found.append(f"is {output.relative_error:.1%} off the Keras model's")
    elif output.spread_error is not None and output.spread_error > limit:
        found.append(f"is off the Keras model's by {output.spread_error:.1%} of its spread")
    # Which score of made-up samples is the largest is a toss-up.
    real = verification.data != "random" and verification.samples >= _FEWEST_SAMPLES
    if real and output.top1_agreement is not None and output.top1_agreement < _FEWEST_SAME:
        found.append(f"has the same largest entry in only {output.top1_agreement:.1%}")
    return found


def preservation_notes(
    preservation: Preservation, fold_batch_norm: bool, per_channel: bool
) -> list[str]:
    """What became of zeros and shared values, where it isn't what training made."""
    notes = []
    shared = [w for w in preservation.lost if w.sharing in ("per_channel", "lost")]
    if shared:
        remedies = []
        if fold_batch_norm and any("folded" in w.reason for w in shared):
            remedies.append("fold_batch_norm=False")
        if per_channel and any("quantized" in w.reason for w in shared):
            remedies.append("per_channel=False")
        worst = max(shared, key=lambda w: w.size)
        notes.append(
            f"Shared values did not survive in {len(shared)} weights: {worst.weight!r} had "
            f"{worst.distinct_before} distinct values and has {worst.distinct_after} "
            f"({worst.distinct_per_channel} at most in a channel), because {worst.reason}."
            + (f" Convert with {' and '.join(remedies)} to keep them." if remedies else "")
        )
    lost = [w for w in preservation.lost if w.zeros == "lost"]
    if lost:
        notes.append(
            f"Zeros did not survive in {len(lost)} weights, {lost[0].weight!r} the first: "
            f"{lost[0].zeros_before} before, {lost[0].zeros_after} after."
        )
    unknown = [w for w in preservation.unmapped if "unknown" in (w.sharing, w.zeros)]
    if unknown:
        notes.append(
            f"{len(unknown)} weights with zeros or shared values were not found in the file, "
            f"{unknown[0].weight!r} the first; whether they were preserved is not known."
        )
    return notes


def shuffle_summary(shuffles: Sequence[FoldedShuffle]) -> str:
    """Return what became of a file's shuffles of channels in a sentence; empty without any."""
    ways = Counter(shuffle.into for shuffle in shuffles if shuffle.into)
    kept = Counter(shuffle.why_kept for shuffle in shuffles if not shuffle.into)
    parts = []
    if ways:
        where = ", ".join(f"{count} into {way}" for way, count in ways.items())
        parts.append(f"{sum(ways.values())} shuffles of channels were folded ({where})")
    if kept:
        why = ", ".join(f"{count} because {reason}" for reason, count in kept.items())
        parts.append(
            f"{sum(kept.values())} {'stay' if ways else 'shuffles of channels stay'} ({why})"
        )
    return f"{'; '.join(parts)}." if parts else ""


def sparse_notes(data: bytes) -> list[str]:
    """Why XNNPACK won't run the sparse kernels of the file `data` sparse."""
    from keras_compress.exporter.sparse_runtime import check_sparse_runtime

    failed = check_sparse_runtime(data).failed
    if not failed:
        return []
    first = failed[0]
    where = f" at {first.where!r}" if first.where else ""
    remedy = first.remedy[:1].upper() + first.remedy[1:]
    return [
        f"XNNPACK will run the sparse kernels densely: {len(failed)} of its conditions fail, the "
        f"first{where}: {first.rule} ({first.found}). {remedy}; "
        "`exporter.check_sparse_runtime` names them all."
    ]
