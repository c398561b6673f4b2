"""From `model.fit` to a packed file, step by step, on scikit-learn's digits.

    python examples/from_fit_to_kcz.py

Takes about half a minute on two cores. What `keras-compress demo` does in one go stands here as
the calls it is made of, to take apart.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import keras_compress
from keras_compress import architectures, clustering, exporter, pruning, recipes
from keras_compress.bench import bench


def compile_and_fit(model: keras.Model, data: recipes.ImageData, epochs: int, *callbacks) -> None:
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, 32, epochs, verbose=2, callbacks=list(callbacks))


def main() -> None:
    keras.utils.set_random_seed(0)
    data = recipes.load_digits()

    # 1. A net as anybody would train it.
    model = architectures.digits_cnn()
    compile_and_fit(model, data, 15)
    baseline = exporter.convert(model, samples=data.x_test)

    # 2. Prune it while it trains on: from 0 to 90 % zeros within 15 epochs of 43 steps, then 5
    #    epochs to recover. Biases are left alone, and the report says so.
    schedule = pruning.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=15 * 43)
    config = pruning.PruningConfig(schedule, layers=["conv2", "hidden"], frequency=20)
    compile_and_fit(model, data, 20, pruning.PruningCallback(config))
    print(pruning.report(model))
    model = pruning.finalize(model)

    # 3. Let the weights that are left share 16 values a layer, and train these values.
    config = clustering.ClusteringConfig(n_clusters=16)
    compile_and_fit(model, data, 8, clustering.ClusteringCallback(config))
    model = clustering.finalize(model)

    # 4. Convert to full int8, verified against Keras. One scale a tensor keeps shared values
    #    shared.
    exported = exporter.convert(
        model,
        precision="int8",
        per_channel=False,
        representative_data=data.x_train[:300],
        samples=data.x_test,
    )
    print("same top class as Keras:", exported.verification.top1_agreement)

    # 5. Pack it. Nothing is lost from here on.
    packed = keras_compress.pack(exported.tflite)
    assert keras_compress.unpack(packed) == exported.tflite  # noqa: S101

    # 6. Time both, in turns.
    files = {"baseline": baseline.tflite, "compressed": packed}
    timed = bench(files, baseline="baseline", min_secs=0.5)
    for entry in timed.models:
        print(f"{entry.name}: {entry.file_bytes:,} bytes, {1000 * entry.median_ms:.1f} µs")
    print(f"{len(baseline.tflite) / len(packed):.1f} times smaller")


if __name__ == "__main__":
    main()
