"""Files that are no models, are damaged, or are made to harm: one clear error each."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_compress import load_model
from keras_compress.errors import ModelFileError


@pytest.fixture
def copy_of(fixtures, tmp_path):
    def copy(name):
        return Path(shutil.copy(fixtures / name, tmp_path / name))

    return copy


def refuses(path, rule, **arguments):
    with pytest.raises(ModelFileError, match=rule):
        load_model(path, verify=False, **arguments)


def with_config(path, change):
    """Change the configuration in an .h5 file."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        # Attributes above 64 KiB can't be written in place.
        file.attrs["model_config"] = np.bytes_(json.dumps(config))
    return path


def layers_in(config):
    return {layer["config"]["name"]: layer for layer in config["config"]["layers"]}


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_files_that_are_no_models(tmp_path, data):
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(data)
        refuses(path, r"\.keras or \.h5|damaged")


def test_other_archives_and_folders(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    refuses(tmp_path / "other.npz", "config.json")
    (tmp_path / "other.npz").rename(tmp_path / "other.keras")
    refuses(tmp_path / "other.keras", "config.json")
    (tmp_path / "folder").mkdir()
    refuses(tmp_path / "folder", "saved_model.pb")
    (tmp_path / "folder" / "saved_model.pb").write_bytes(b"")
    refuses(tmp_path / "folder", "keras_metadata.pb")


def test_models_of_keras_3(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "lambda.keras")
    refuses(tmp_path / "lambda.keras", "can't load")
    data = (tmp_path / "lambda.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(data[: len(data) // 2])
    refuses(tmp_path / "cut.keras", r"\.keras or \.h5")
    (tmp_path / "lambda.keras").rename(tmp_path / "lambda.zip")
    refuses(tmp_path / "lambda.zip", r"ends in \.keras")


@pytest.mark.parametrize("name", ["image.h5", "attention.keras"])
def test_cut_and_flipped_bytes(copy_of, name):
    path = copy_of(name)
    data = path.read_bytes()
    generator = random.Random(3)
    for _ in range(12):
        damaged = bytearray(data[: generator.randrange(len(data))])
        if generator.random() < 0.5:
            damaged = bytearray(data)
            for _ in range(40):
                damaged[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ModelFileError):
            load_model(path, verify=False)


@pytest.mark.parametrize(
    "change, rule",
    [
        (lambda c: c.pop("class_name"), "names its class"),
        (lambda c: c["config"].pop("layers"), "lists its layers"),
        (lambda c: layers_in(c)["re_lu"].update(class_name="Nonsense"), "custom_objects"),
        (lambda c: layers_in(c)["re_lu"].update(inbound_nodes=[[["gone", 0, 0, {}]]]), "'gone'"),
        (
            lambda c: layers_in(c)["re_lu"].update(inbound_nodes=[[["dense", 0, 0, {}]]]),
            "wait for each other",
        ),
        (lambda c: layers_in(c)["dense"]["config"].update(units=10**12), "damaged"),
        (lambda c: layers_in(c)["dense"]["config"].update(units=6), "shape|weights"),
        (lambda c: layers_in(c)["dense"]["config"].update(units="many"), "refuses|contradicts"),
        (lambda c: layers_in(c)["depthwise_conv2d"]["config"].update(groups=2), "groups=2"),
        (lambda c: layers_in(c)["stem/norm"]["config"].update(axis=[1, 3]), "several axes"),
        (lambda c: layers_in(c)["tf.concat"]["config"].update(function="io.read"), "tf.io.read"),
        (lambda c: layers_in(c)["re_lu"].update(class_name="TensorFlowOpLayer"), "is a raw"),
    ],
    ids=["class", "layers", "unknown", "gone", "circle", "huge", "width", "type", "groups",
         "axes", "function", "raw"],
)  # fmt: skip
def test_configurations_that_dont_fit(copy_of, change, rule):
    refuses(with_config(copy_of("image.h5"), change), rule)


def test_everything_that_cant_be_carried_is_named_at_once(copy_of):
    def change(config):
        layers_in(config)["depthwise_conv2d"]["config"]["groups"] = 2
        layers_in(config)["leaky_re_lu"]["class_name"] = "Mystery"

    refuses(with_config(copy_of("image.h5"), change), r"groups=2[\s\S]*Mystery")


def test_weights_that_lead_out_of_the_file(copy_of, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.zeros(2, "float32")
    path = copy_of("table.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = next(n for n in group if len(group[n].attrs["weight_names"]) == 2)
        bias = group[name].attrs["weight_names"][1]
        del group[name][bias]
        group[name][bias] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "numbers")
    refuses(path, "in the file itself")


def test_weights_that_claim_more_than_there_is(copy_of):
    path = copy_of("table.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = next(n for n in group if len(group[n].attrs["weight_names"]) == 2)
        bias = group[name].attrs["weight_names"][1]
        del group[name][bias]
        group[name].create_dataset(bias, shape=(1 << 40,), dtype="float32", chunks=(1024,))
    refuses(path, "would take")


def test_missing_weights(copy_of):
    path = copy_of("table.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = next(n for n in group if len(group[n].attrs["weight_names"]) == 2)
        group[name].attrs["weight_names"] = []
    refuses(path, "no weights for")


@pytest.mark.parametrize(
    ("size", "why"), [(5000, "5000 bytes"), (1001, "1001 bytes"), (1000, "JSON")]
)
def test_archives_that_unpack_to_too_much(tmp_path, monkeypatch, size, why):
    monkeypatch.setattr("keras_compress.loading.archives._MAX_CONFIG_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"0" * size)
        archive.writestr("metadata.json", b'{"keras_version": "2.15.0"}')
    refuses(tmp_path / "bomb.keras", why)


def test_names_of_keras_1(copy_of):
    path = copy_of("table.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights"].attrs["keras_version"] = np.bytes_(b"1.2.2")
    refuses(path, r"Keras 1\.2\.2")
