"""Compression without labels: recipe and command, on a small net of digits."""

from __future__ import annotations

import json
import os
import stat

import keras
import numpy as np
import pytest

import keras_compress
from keras_compress.cli.main import main
from keras_compress.errors import KerasCompressError
from keras_compress.recipes import (
    PostTrainingTarget,
    PostTrainingTrial,
    load_digits,
    load_unlabelled,
    post_training_compression,
)
from keras_compress.recipes.post_training import _Search

FILES = {
    "compression.json",
    "model.kcz",
    "model.keras",
    "model.tflite",
    "report.html",
    "report.json",
}
layers = keras.layers


@pytest.fixture(scope="module")
def images():
    return load_digits().x_train[:64]


@pytest.fixture(scope="module")
def trained():
    digits = load_digits()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, use_bias=False, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Conv2D(32, 1, groups=2, activation="relu", name="grouped")(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(10, name="scores")(x)
    model = keras.Model(inputs, outputs, name="digits")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
    model.fit(digits.x_train, digits.y_train, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="module")
def made(trained, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    before = [np.array(w) for w in trained.get_weights()]
    result = post_training_compression(
        trained, images, PostTrainingTarget(price=1e-8), folder=folder, draws=1
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, trained.get_weights(), strict=True))
    return result, folder


def test_the_file_is_small_and_answers_as_before(made, trained):
    result, folder = made
    digits = load_digits()
    assert set(os.listdir(folder)) == FILES
    assert result.size == (folder / "model.kcz").stat().st_size < result.base_size / 4
    assert result.reached and result.agreement > 0.9
    right = [
        np.mean(np.argmax(model.predict(digits.x_test, verbose=0), -1) == digits.y_test)
        for model in (trained, keras.models.load_model(folder / "model.keras"))
    ]
    assert right[0] > 0.7 and right[0] - right[1] < 0.02


def test_values_are_shared_in_the_file_too(made):
    result, folder = made
    assert [layer.path for layer in result.layers] == ["first", "depthwise", "grouped", "scores"]
    assert result.left_alone == {}
    data = keras_compress.unpack((folder / "model.kcz").read_bytes())
    assert data == (folder / "model.tflite").read_bytes()
    kernels = [w for w in result.model.weights if w.name == "kernel"]
    for layer, kernel in zip(result.layers, kernels, strict=True):
        values = np.unique(np.asarray(kernel))
        assert values.size == layer.values <= 511 and layer.weights == np.size(kernel)
        assert layer.zeros == np.sum(np.asarray(kernel) == 0)
        assert 0 <= layer.error < 0.2


def test_the_report_says_what_was_done(made):
    result, folder = made
    report = json.loads((folder / "report.json").read_text())
    assert report["settings"]["price"] == 1e-8
    assert (report["settings"]["images"], report["settings"]["images_held_out"]) == (48, 16)
    assert report["compressed"]["packed_bytes"] == result.size
    saved = json.loads((folder / "compression.json").read_text())
    assert saved["agreement"] == result.agreement and len(saved["layers"]) == 4


class Trials(_Search):
    """A search over trials whose sizes and agreements follow from the price by a rule."""

    def _try(self, price):
        size = None if self.target.size is None else round(0.1 / price**0.5)
        trial = PostTrainingTrial(price, max(0.0, 1 - 1e3 * price**0.5), size)
        self.trials.append(trial)
        if self._best is None or self._rank(trial) > self._rank(self._best[2]):
            self._best = (None, None, trial, None)
        return trial


def search(target, rounds):
    found = Trials(None, [], {}, None, None, None, target, rounds, 8, 0, None)
    return found, found.run()[2]


@pytest.mark.parametrize("size", [100, 1_000, 4_321, 30_000])
def test_a_size_is_searched_for(size):
    found, best = search(PostTrainingTarget(size=size), 10)
    assert 0.98 * size <= best.size <= size
    assert best.size == max(t.size for t in found.trials if t.size <= size)


@pytest.mark.parametrize("agreement", [0.5, 0.93, 0.97, 0.995])
def test_an_agreement_is_searched_for(agreement):
    found, best = search(PostTrainingTarget(agreement=agreement), 12)
    assert best.agreement >= agreement
    assert best.price == max(t.price for t in found.trials if t.agreement >= agreement)
    assert 1 - best.agreement > 0.7 * (1 - agreement)


def test_what_cannot_be_reached_ends_with_the_nearest():
    found, best = search(PostTrainingTarget(size=1), 4)
    assert len(found.trials) == 4 and best.size == min(t.size for t in found.trials)
    found, best = search(PostTrainingTarget(agreement=1.0), 4)
    assert best.agreement == max(t.agreement for t in found.trials) < 1


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"size": 100, "price": 1e-8},
        {"agreement": 0},
        {"agreement": 1.5},
        {"price": float("nan")},
        {"price": True},
        {"size": "many"},
    ],
)
def test_targets_that_are_none(arguments):
    with pytest.raises(KerasCompressError, match="Received"):
        PostTrainingTarget(**arguments)


def test_what_is_refused(trained, images, tmp_path):
    target = PostTrainingTarget(price=1e-8)
    several = keras.Model(trained.input, [trained.output, trained.layers[1].output])
    inputs = keras.Input((8, 8, 1))
    bare = keras.Model(inputs, layers.Flatten()(layers.BatchNormalization()(inputs)))
    cases = [
        (several, images, {}, "one input and one vector of scores"),
        (bare, images, {}, "a Dense layer or a convolution"),
        (trained, images[:4], {}, "at least 8 of"),
        (trained, images[:, :4], {}, "at least 8 of"),
        (trained, images * np.nan, {}, "must be finite"),
        (trained, images, {"held_out": 1.0}, "`held_out` must be above 0"),
        (trained, images, {"rounds": 0}, "`rounds` must be an int"),
    ]
    for model, given, options, rule in cases:
        with pytest.raises(KerasCompressError, match=rule):
            post_training_compression(model, given, target, folder=tmp_path / "no", **options)
    assert not (tmp_path / "no").exists()


def test_the_command(trained, images, tmp_path, capsys):
    trained.save(tmp_path / "m.keras")
    np.savez(tmp_path / "x.npz", x=images[:24])
    (tmp_path / "m.keras").chmod(0o600)
    common = ["compress-unlabelled", str(tmp_path / "m.keras"), "--out", str(tmp_path / "out")]
    with_images = [*common, "--images", str(tmp_path / "x.npz")]
    assert main([*with_images, "--target-size", "40", "--rounds", "1"]) == 1
    out = capsys.readouterr().out
    assert "times smaller" in out and "No run met the target" in out and "depthwise" in out
    assert stat.S_IMODE((tmp_path / "out/model.kcz").stat().st_mode) == 0o600
    for wrong in (
        [],
        ["--price", "0"],
        ["--agreement", "101"],
        ["--price", "1e-8", "--limit", "7"],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*with_images, *wrong])
        assert stop.value.code == 2
    assert main([*common, "--images", str(tmp_path / "none.npz"), "--price", "1e-7"]) == 1
    assert "Can't read" in capsys.readouterr().err


@pytest.fixture
def photos(tmp_path):
    """Three photos of which the middle is known; two kinds of files."""
    for number, (name, size) in enumerate((("a.png", (30, 20)), ("b.jpg", (20, 40)))):
        pixels = np.full((*size, 3), 40 * (number + 1), "uint8")
        pixels[..., 0] = 200
        keras.utils.save_img(
            tmp_path / name, pixels, scale=False, **({} if number == 0 else {"quality": 100})
        )
    (tmp_path / "note.txt").write_text("no photo")
    return tmp_path


def test_photos_are_scaled_cut_and_preprocessed(photos):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()])
    plain = load_unlabelled(photos, model)
    assert plain.shape == (2, 8, 8, 3) and plain.dtype == np.float32
    np.testing.assert_allclose(plain[0, 4, 4], [200, 40, 40], atol=1)
    np.testing.assert_allclose(plain[1, 4, 4], [200, 80, 80], atol=4)
    unit = load_unlabelled(photos, model, preprocessing="unit")
    np.testing.assert_allclose(unit, plain / 255, atol=1e-6)
    caffe = load_unlabelled(photos, model, preprocessing="caffe", limit=1)
    np.testing.assert_allclose(caffe[0, 0, 0], [40 - 103.939, 40 - 116.779, 200 - 123.68], atol=1)


def test_photos_that_are_none(photos, tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()])
    empty = tmp_path / "empty"
    empty.mkdir()
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:60])
    loose = keras.Sequential([keras.Input((None, 8, 3)), layers.Conv2D(2, 1)])
    grey = np.zeros((8, 4))
    np.savez(tmp_path / "grey.npz", x=grey)
    for path, of, how, rule in (
        (empty, model, "none", "holds .jpg or .png files"),
        (photos, model, "none", "A photo is a .jpg or .png file"),
        (photos, loose, "none", "image of known size"),
        (photos, model, "imagenet", "`preprocessing` must be one of"),
        (tmp_path / "grey.npz", model, "torch", "images of three colors"),
    ):
        with pytest.raises(KerasCompressError, match=rule):
            load_unlabelled(path, of, preprocessing=how)
    # A picture of 2**40 pixels is refused by its header.
    bomb = (
        b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\x10\0\0" * 2 + b"\x08\x02\0\0\0" + b"\0" * 40
    )
    (photos / "a.png").write_bytes(bomb)
    with pytest.raises(KerasCompressError, match="1048576x1048576"):
        load_unlabelled(photos, model)
