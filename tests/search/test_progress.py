"""What a training tells of how far it is."""

from __future__ import annotations

import pytest

from keras_compress.search import Progress, progress_callback


class Kept(Progress):
    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def advance(self, steps: int = 1, detail: str = "") -> None:
        self.told.append((steps, detail))


@pytest.mark.parametrize(("epochs", "told"), [(3, [(0, "epoch 2/3, training 50.00%")]), (None, [])])
def test_batches_are_counted_and_epochs_named_where_their_number_is_known(epochs, told):
    kept = Kept()
    callback = progress_callback(kept, epochs)
    callback.on_train_batch_end(0, {"accuracy": 0.25})
    callback.on_epoch_end(1, {"accuracy": 0.5})
    assert kept.told == [(1, ""), *told]
