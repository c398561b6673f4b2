"""Decides how an output is taught, from all that is known of it."""

from __future__ import annotations

from typing import NamedTuple

from keras_compress.distillation.heads import LINEAR, SIGMOID, SOFTMAX, SOFTMAX_ELSEWHERE, UNKNOWN
from keras_compress.distillation.label_losses import told_by
from keras_compress.errors import KerasCompressError

REGRESSION = "regression"
KINDS = (SOFTMAX, SIGMOID, REGRESSION)

_PROBABILITIES = (SOFTMAX, SIGMOID, SOFTMAX_ELSEWHERE)


class Output(NamedTuple):
    """How an output is taught.

    Attributes:
        kind: One of `KINDS`.
        from_logits: Whether the student gives logits; `None` for a regression.
        teacher_from_logits: The same of the teacher.
        weight: Its weight in the sum over the outputs.
    """

    kind: str
    from_logits: bool | None
    teacher_from_logits: bool | None
    weight: float


def decide(
    where: str,
    kind: str | None,
    from_logits: bool | None,
    teacher_from_logits: bool | None,
    weight: float,
    head: str,
    teacher_head: str,
    label_loss: object,
    units: int | None,
) -> Output:
    """Return how to teach an output.

    Args:
        where: What errors call the output.
        kind: As given, or `None`.
        from_logits: As given, or `None`.
        teacher_from_logits: As given, or `None`.
        weight: Of the output.
        head: What the student's output is, one of `heads.HEADS`.
        teacher_head: What the teacher's is.
        label_loss: The loss on the labels, or `None`.
        units: Size of the output's last axis.

    Raises:
        KerasCompressError: If it can't be told, or what is given contradicts the models.
    """
    told = told_by(label_loss, units)
    kind = kind or _kind(head, teacher_head, told.kind)
    if kind is None:
        raise KerasCompressError(
            "`SoftTargets` must know what an output is. Received: "
            f"{where} of {units} units, and neither the models nor the loss on the labels tell. "
            'Pass `kind="softmax"` for classes that exclude each other, `"sigmoid"` for units '
            'that are each a yes or no, or `"regression"`.'
        )
    if kind == REGRESSION:
        return Output(kind, None, None, weight)
    if kind == SOFTMAX and units == 1:
        raise KerasCompressError(
            "A softmax over one unit is always 1 and teaches nothing. Received: "
            f'{where} of one unit. Pass `kind="sigmoid"` or `kind="regression"`.'
        )
    logits = _logits("from_logits", where, from_logits, head, kind, told.from_logits)
    theirs = _logits("teacher_from_logits", where, teacher_from_logits, teacher_head, kind, None)
    return Output(kind, logits, theirs, weight)


def refuse_contradiction(
    where: str, argument: str, logits: bool | None, head: str, kind: str | None
) -> None:
    """Raise if what a loss was told of an output isn't what the model's graph says.

    Raises:
        KerasCompressError: If they contradict each other.
    """
    if kind == REGRESSION:
        return
    remedy = f"Pass {argument}={not logits}, or leave it out"
    if logits and head in _PROBABILITIES:
        raise KerasCompressError(
            f"Soft targets must know whether outputs are logits. Received: {argument}=True "
            f"and {where}, which ends in a {head}. {remedy}; or end the model without an "
            "activation."
        )
    if logits is False and head == LINEAR:
        raise KerasCompressError(
            f"Soft targets must know whether outputs are logits. Received: {argument}=False "
            f"and {where}, which ends without an activation. {remedy}; or end the model in a "
            "softmax or sigmoid."
        )
    if head in _PROBABILITIES and kind not in (None, head):
        raise KerasCompressError(
            f"Teacher and student must mean the same by an output. Received: {where}, which ends "
            f"in a {head}, to be taught as {kind!r}."
        )
    if head == SOFTMAX_ELSEWHERE:
        raise KerasCompressError(
            f"Classes must lie along the last axis. Received: {where}, which ends in a {head}. "
            "End the model in a `Permute` that moves them there, or pass `kind` and "
            "`output_weights` to leave the output out."
        )


def _kind(head: str, teacher_head: str, told: str | None) -> str | None:
    if head in (SOFTMAX, SOFTMAX_ELSEWHERE):
        return SOFTMAX
    if head == SIGMOID:
        # Values between 0 and 1 may be a regression's: the loss on the labels says so.
        return REGRESSION if told == REGRESSION else SIGMOID
    if told is not None:
        return told
    return teacher_head if teacher_head in (SOFTMAX, SIGMOID) else None


def _logits(
    argument: str, where: str, given: bool | None, head: str, kind: str, told: bool | None
) -> bool:
    whose = "the teacher's" if argument.startswith("teacher") else "the student's"
    refuse_contradiction(f"{whose} model, {where}", argument, given, head, kind)
    if given is not None:
        return given
    if head != UNKNOWN:
        return head == LINEAR
    if told is not None:
        return told
    raise KerasCompressError(
        f"Soft targets must know whether outputs are logits. Received: {where}, of which "
        f"{whose} model doesn't tell. Pass `{argument}=True` for logits, `False` for "
        "probabilities."
    )
