"""The facts about each weight are counted from the models themselves."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.recipes.layer_facts import layer_facts


def model_with(kernel):
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, name="a"), keras.layers.Dense(2, name="b")]
    )
    model.get_layer("a").set_weights([kernel, np.zeros(16, "float32")])
    return model


def test_zeros_distinct_values_and_histograms():
    before = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")
    after = np.where(np.abs(before) > 1, np.sign(before), 0).astype("float32")
    report = {
        "technique": "pruning",
        "weights": [
            {"layer": "a", "weight": "kernel", "action": "pruned", "reason": ""},
            {"layer": "a", "weight": "bias", "action": "left alone", "reason": "bias"},
        ],
    }
    records = layer_facts(model_with(before), model_with(after), [report])
    assert [(record["name"], record["weight"]) for record in records] == [
        ("a", "kernel"),
        ("a", "bias"),
        ("b", "kernel"),
        ("b", "bias"),
    ]
    kernel, bias = records[:2]
    kept = int(np.count_nonzero(after))
    assert kernel["type"] == "Dense"
    assert kernel["shape"] == [8, 16]
    assert kernel["weights"] == 128
    assert kernel["zeros"] == 128 - kept
    assert kernel["sparsity"] == (128 - kept) / 128
    assert kernel["distinct_values"] == 3
    assert kernel["before"]["zeros"] == 0
    assert sum(kernel["before"]["histogram"]["counts"]) == 128
    assert sum(kernel["after"]["histogram"]["counts"]) == kept
    assert sum(1 for count in kernel["after"]["histogram"]["counts"] if count) == 2
    assert kernel["after"]["histogram"]["high"] == kernel["before"]["histogram"]["high"]
    assert kernel["actions"] == [{"technique": "pruning", "action": "pruned", "reason": ""}]
    assert bias["actions"][0]["reason"] == "bias"
    assert "histogram" not in bias["after"]
