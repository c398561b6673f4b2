"""Functions of TensorFlow in a graph of Keras 2 compute here what they compute there."""

import functools

import keras
import numpy as np
import pytest

from keras_compress.loading.tensorflow_ops import FUNCTIONS
from tests.training import tensorflow_only

pytestmark = tensorflow_only

X, Y = (np.random.default_rng(i).uniform(0.2, 2.0, (2, 4, 6, 8)).astype("float32") for i in (0, 1))
BOTH, ALONE = ((X, Y), {}), ((X,), {})
SQUARES = (X[..., :4], np.swapaxes(Y[..., :4], -1, -2))
# What a function is called with; the first of two arguments may be a number, too.
ARITHMETIC = (BOTH, ((X, 2.5), {}), ((2.5, X), {}))
REDUCED = (((X,), {"axis": [1, 2]}), ((X,), {"axis": -1, "keepdims": True}))
CALLS = {
    **{
        name: ARITHMETIC
        for name in (
            "__operators__.add", "math.add", "math.subtract", "math.multiply", "math.divide",
            "math.truediv",
        )
    },
    **{f"math.reduce_{name}": REDUCED for name in ("max", "mean", "min", "sum")},
    "math.maximum": (BOTH, ((X, 1.0), {})),
    "math.minimum": (BOTH, ((X, 1.0), {})),
    "math.pow": (BOTH, ((X, 2.0), {})),
    "cast": (((X,), {"dtype": "int32"}),),
    "clip_by_value": (((X, 0.5, 1.5), {}),),
    "compat.v1.transpose": (((X,), {"perm": [0, 3, 1, 2]}),),
    "transpose": (((X,), {"perm": [0, 3, 1, 2]}),),
    "concat": ((([X, Y],), {"axis": -1}), (([X, Y],), {"axis": 1})),
    "expand_dims": (((X, 2), {}),),
    "image.resize": (
        ((X, [8, 9]), {}), ((X, [2, 3]), {}), ((X, [8, 12]), {"method": "nearest"}),
    ),
    "linalg.matmul": (
        (SQUARES, {}), ((X, Y), {"transpose_b": True}), ((X, Y), {"transpose_a": True}),
    ),
    "nn.depth_to_space": (((X, 2), {}),),
    "nn.leaky_relu": (((X - 1,), {}), ((X - 1,), {"alpha": 0.1})),
    "nn.softmax": (ALONE, ((X,), {"axis": 1})),
    "nn.swish": (ALONE, ((X,), {"beta": 1.5})),
    "nn.silu": (ALONE, ((X,), {"beta": 1.5})),
    "pad": (
        ((X, [[0, 0], [1, 2], [0, 1], [0, 0]]), {}),
        ((X, [[0, 0], [1, 2], [0, 1], [0, 0]]), {"mode": "REFLECT"}),
        ((X, [[0, 0], [1, 0], [0, 0], [0, 0]]), {"constant_values": 3.0}),
    ),
    "reshape": (
        ((X, [-1, 24, 8]), {}), ((X, [-1]), {}), ((X, [-1, 8]), {}), ((X, [2, -1]), {}),
    ),
    "split": (((X, 2), {"axis": -1}), ((X, [1, 3]), {"axis": 1})),
    "squeeze": (((X[:, :1], 1), {}), ((X[:, :1, :1],), {"axis": [1, 2]})),
    "stack": ((([X, Y],), {"axis": 1}),),
    "tile": (((X, [1, 2, 1, 3]), {}),),
}  # fmt: skip
# Not functions of that name: told apart by their own tests.
NOT_CALLED = {"__operators__.getitem"}


def _of_tensorflow(name):
    import tensorflow as tf

    if name == "__operators__.add":
        return tf.add
    return functools.reduce(getattr, name.split("."), tf)


def _negative_too(name):
    return name.startswith("nn.") or name in ("math.abs", "math.tanh", "math.sigmoid", "math.exp")


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - NOT_CALLED))
def test_it_computes_what_tensorflow_does(name):
    alone = ((X - 1,), {}) if _negative_too(name) else ALONE
    for place, (given, settings) in enumerate(CALLS.get(name, (alone,))):
        arrays = [a for a in keras.tree.flatten(given) if isinstance(a, np.ndarray)]
        inputs = [keras.Input(a.shape[1:]) for a in arrays]
        found = iter(inputs)
        symbolic = [
            [next(found) for _ in each] if isinstance(each, list) and each[0] is X
            else next(found) if isinstance(each, np.ndarray) else each
            for each in given
        ]  # fmt: skip
        ours = FUNCTIONS[name](*symbolic, **settings, name_of_layer=f"layer{place}")
        received = keras.tree.flatten(keras.Model(inputs, ours)(arrays))
        expected = keras.tree.flatten(_of_tensorflow(name)(*given, **settings))
        assert len(received) == len(expected)
        for here, there in zip(received, expected, strict=True):
            assert here.dtype == there.dtype
            np.testing.assert_allclose(here, there, rtol=2e-5, atol=1e-6)


def test_a_resize_that_cannot_be_had_is_refused():
    with pytest.raises(NotImplementedError, match="antialias"):
        FUNCTIONS["image.resize"](X, [2, 2], antialias=True, name_of_layer="resize")
