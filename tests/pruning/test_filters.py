from __future__ import annotations

import numpy as np
import pytest

from keras_compress import pruning
from keras_compress.errors import KerasCompressError
from keras_compress.pruning import FilterPruner, FilterPruningCallback, PruningConfig, filter_mask
from tests.training import BUILDERS, compiled, fit, sequential


def dead_filters(kernel):
    return np.all(np.array(kernel).reshape(-1, kernel.shape[-1]) == 0, axis=0)


@pytest.mark.parametrize(("norm", "kept"), [("l1", [False, True]), ("l2", [True, False])])
def test_the_weaker_filter_goes_whole(norm, kept):
    weight = np.array([[3.0, 2.0], [0.0, 2.0]])
    mask = filter_mask(weight, 0.5, norm=norm)
    assert mask.tolist() == [kept, kept]


def test_filters_may_span_two_axes_and_one_is_always_kept():
    weight = np.random.default_rng(0).normal(size=(3, 3, 4, 2))
    mask = filter_mask(weight, 0.75, axes=(2, 3))
    alive = mask.reshape(9, 8)
    assert (alive.all(0) | ~alive.any(0)).all() and alive.any(0).sum() == 2
    assert filter_mask(weight, 0.999, axes=(2, 3)).any()


@pytest.mark.parametrize("builder", BUILDERS)
def test_whole_filters_are_zero_after_training(builder):
    model = compiled(BUILDERS[builder])
    fit(model, epochs=1, callbacks=[FilterPruningCallback(0.5)])
    conv = next(row for row in pruning.report(model) if row.layer.endswith("conv"))
    assert conv.sparsity == pytest.approx(0.5)
    layers = {ref.path: ref for ref in pruning.pruner.select_weights(model).chosen}
    kernel = next(ref for path, ref in layers.items() if path.endswith("conv")).variable
    assert dead_filters(kernel).sum() == 2


def test_the_wrappers_door_prunes_filters_too():
    model = pruning.prepare(compiled(), PruningConfig(0.5))
    fit(model, epochs=1, callbacks=[FilterPruningCallback(0.5)])
    small = pruning.finalize(model)
    assert dead_filters(small.get_layer("conv").kernel).sum() == 2
    assert dead_filters(small.get_layer("hidden").kernel).sum() == 8


def test_globally_the_strong_layer_is_spared_and_none_is_emptied():
    model = compiled()
    conv, hidden = model.get_layer("conv"), model.get_layer("hidden")
    conv.kernel.assign(np.array(conv.kernel) * 100)
    hidden.kernel.assign(np.array(hidden.kernel) * 1e-6)
    config = PruningConfig(0.7, scope="global", layers=["conv", "hidden"])
    fit(model, epochs=1, callbacks=[FilterPruningCallback(config)])
    assert dead_filters(conv.kernel).sum() == 0
    config = PruningConfig(0.95, scope="global", layers=["conv", "hidden"])
    pruner = FilterPruner(model, config, optimizer=model.optimizer)
    pruner.update(0)
    assert not dead_filters(conv.kernel).all() and not dead_filters(hidden.kernel).all()


def test_weights_without_filters_are_refused_when_named():
    import keras

    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Embedding(9, 4, name="words"), keras.layers.Flatten()]
    )
    model.compile("sgd", "mse")
    for layers in ("words", None):
        with pytest.raises(KerasCompressError, match="words/embeddings"):
            FilterPruner(model, PruningConfig(0.5, layers=layers), optimizer=model.optimizer)
    with pytest.raises(KerasCompressError, match="norm='l3'"):
        FilterPruner(sequential(), PruningConfig(0.5), norm="l3")
