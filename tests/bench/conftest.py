"""Two models to time, made without TensorFlow's help in the tests themselves."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def tflite_files(tmp_path_factory):
    """Paths of a small and of a hundred times larger model, and of the small one packed."""
    import keras

    from keras_compress.exporter import convert
    from keras_compress.packing import pack

    folder = tmp_path_factory.mktemp("models")

    def build(width: int, name: str):
        model = keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                keras.layers.Conv2D(width, 3, activation="relu"),
                keras.layers.Conv2D(width, 3, activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(4),
            ],
            name=name,
        )
        data = convert(model, verify=False).tflite
        (folder / f"{name}.tflite").write_bytes(data)
        return data

    small = build(4, "small")
    build(64, "large")
    (folder / "small.kcz").write_bytes(pack(small))
    return {path.name: path for path in folder.iterdir()}
