"""Packages are found by their modules, whatever the distribution that brought them is called."""

from __future__ import annotations

import importlib.metadata
import sys
import types

import pytest

from keras_compress import KerasCompressError
from keras_compress.exporter import folder
from keras_compress.installed import is_installed, require, version_of


@pytest.fixture
def vendor_tensorflow(monkeypatch):
    """TensorFlow of a vendor: the module, and no distribution of the name `tensorflow`."""
    module = types.ModuleType("tensorflow")
    vars(module)["__version__"] = "2.99.vendor"
    monkeypatch.setitem(sys.modules, "tensorflow", module)

    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", nothing)


def test_a_vendors_tensorflow_is_tensorflow(vendor_tensorflow):
    assert version_of("tensorflow") == "2.99.vendor"
    assert folder._versions()["tensorflow"] == "2.99.vendor"


def test_what_is_missing_is_named_before_the_work():
    assert is_installed("numpy") and not is_installed("no_such_module")
    assert version_of("no_such_module") is None
    require(("numpy",), extra="train")
    with pytest.raises(KerasCompressError, match=r"no no_such_module.*keras-compress\[train\]"):
        require(("numpy", "no_such_module"), extra="train")
