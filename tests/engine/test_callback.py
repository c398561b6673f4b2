"""Counting steps as `fit` takes them."""

from __future__ import annotations

import copy
import pickle

import pytest

from keras_compress import KerasCompressError
from keras_compress.engine.callback import StepCallback
from keras_compress.pruning import OneShot, PolynomialDecay, PruningCallback, PruningConfig
from tests.training import compiled, data, dense, fit, fit_dense, not_torch, zeros_of


class Recorder(StepCallback):
    def __init__(self, initial_step=None):
        super().__init__(initial_step)
        self.seen = []

    def attach(self, model, step):
        self.seen.append(f"attached at {step}")
        return False

    def on_step(self, step):
        self.seen.append(step)


def batches():
    x, y = data()

    def generate():
        for start in range(0, len(x), 16):
            yield x[start : start + 16], y[start : start + 16]

    return generate()


def test_counts_over_epochs_and_over_fits():
    recorder, model = Recorder(), compiled()
    fit(model, epochs=2, callbacks=[recorder])
    assert recorder.seen == ["attached at 0", *range(1, 13)]
    recorder.seen.clear()
    fit(model, epochs=1, callbacks=[recorder])
    assert recorder.seen == ["attached at 12", *range(13, 19)]


def test_resumes_where_the_epoch_begins():
    recorder = Recorder()
    fit(compiled(), epochs=3, initial_epoch=2, callbacks=[recorder])
    assert recorder.seen[:2] == ["attached at 12", 13]


@not_torch
def test_steps_per_execution_advance_together():
    recorder = Recorder()
    fit(compiled(steps_per_execution=4), epochs=2, callbacks=[recorder])
    assert recorder.seen == ["attached at 0", 4, 6, 10, 12]


def test_data_of_unknown_length_need_the_step_to_resume():
    model = compiled()
    with pytest.raises(KerasCompressError, match="initial_step"):
        model.fit(batches(), epochs=2, initial_epoch=1, verbose=0, callbacks=[Recorder()])
    recorder = Recorder(initial_step=40)
    model.fit(batches(), epochs=2, initial_epoch=1, verbose=0, callbacks=[recorder])
    assert recorder.seen[:2] == ["attached at 40", 41]


def test_a_second_fit_with_the_same_callback_keeps_the_masks():
    model, callback = compiled(), PruningCallback(OneShot(0.5))
    fit(model, epochs=1, callbacks=[callback])
    kernel = model.get_layer("hidden").kernel
    zeros = kernel.numpy() == 0
    fit(model, epochs=1, callbacks=[callback])
    assert 0.49 < zeros.mean() < 0.51 and (zeros == (kernel.numpy() == 0)).all()


def test_another_model_begins_anew_and_the_first_one_goes_on():
    recorder = Recorder()
    one, other = compiled(), compiled()
    for model, first in ((one, 0), (other, 0), (other, 6)):
        recorder.seen.clear()
        fit(model, epochs=1, callbacks=[recorder])
        assert recorder.seen == [f"attached at {first}", *range(first + 1, first + 7)]


def test_one_pruning_callback_for_several_models_prunes_all_alike():
    callback = PruningCallback(PruningConfig(PolynomialDecay(0.0, 0.5, 0, 8), frequency=2))
    seen = [fit_dense(dense(), 2, [callback]).history["sparsity"] for _ in range(2)]
    assert seen[0] == seen[1] and seen[0][0] < seen[0][1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "copy_of", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_of_a_callback_begins_anew(copy_of):
    used = PruningCallback(OneShot(0.5), initial_step=3)
    fit_dense(dense(), 1, [used])
    again = copy_of(used)
    assert again.config == used.config and again.initial_step == 3
    assert again.pruner is None and again.model is None and used.pruner is not None
    model = dense()
    fit_dense(model, 1, [again])
    assert zeros_of(model) == pytest.approx(0.5)
