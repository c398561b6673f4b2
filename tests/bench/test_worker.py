"""How a model is run while it is timed, told by an interpreter that keeps what it is asked."""

from __future__ import annotations

import gc

import numpy as np

from keras_compress.bench.worker import Worker, _fill_inputs


class Kept:
    def __init__(self, *dtypes: type) -> None:
        self.dtypes = dtypes
        self.set: dict[int, np.ndarray] = {}
        self.collecting: list[bool] = []

    def get_input_details(self) -> list[dict]:
        return [
            {"index": 7 + i, "name": "x", "shape": (40, 3), "dtype": dtype}
            for i, dtype in enumerate(self.dtypes)
        ]

    def set_tensor(self, index: int, value: np.ndarray) -> None:
        self.set[index] = value

    def invoke(self) -> None:
        self.collecting.append(gc.isenabled())


def test_no_garbage_is_collected_while_runs_are_timed():
    worker = Worker.__new__(Worker)
    worker.interpreter = kept = Kept()
    found = worker.run(runs=3, min_secs=0.0, max_secs=60.0, settle=1)
    assert len(found["times_ns"]) == 3
    assert kept.collecting == [True, False, False, False] and gc.isenabled()


def test_inputs_are_filled_by_their_type():
    kept = Kept(np.float32, np.int8, np.int32)
    _fill_inputs(kept, seed=0)
    numbers, small, indices = (kept.set[i] for i in (7, 8, 9))
    assert numbers.dtype == np.float32 and -1 <= numbers.min() < -0.9 < 0.9 < numbers.max() <= 1
    assert small.dtype == np.int8 and small.min() < -100 and small.max() > 100
    assert indices.dtype == np.int32 and not indices.any() and indices.shape == (40, 3)
