"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Programs that tests start find the package where the tests found it, not in the current folder.
os.environ["PYTHONSAFEPATH"] = "1"


def pytest_configure(config):
    # Two logical devices let tf.distribute mirror variables on a machine with one processor;
    # they can only be made before TensorFlow has started.
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        return
    try:
        import tensorflow as tf
    except ImportError:
        return
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


def pytest_collection_finish(session):
    _freeze()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_to_collect():
    yield
    _freeze()


def _freeze():
    # What the imports, the collection and the files before have left stays to the end: TensorFlow
    # keeps graphs. Its converter collects garbage each time it is called, and a training step
    # traced makes enough to have it collected several times: without those millions of objects
    # it takes a tenth.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def two_replicas():
    """A `tf.distribute.MirroredStrategy` over two logical processors.

    One for the whole session: TensorFlow numbers its collective operations anew for each
    strategy and mistakes those of another model on the same devices for them.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        pytest.skip("tf.distribute is TensorFlow's alone")
    tf = pytest.importorskip("tensorflow")
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == 2
    return tf.distribute.MirroredStrategy([device.name for device in devices])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets and models, named by the variable KERAS_COMPRESS_DATA."""
    folder = os.environ.get("KERAS_COMPRESS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real models: set KERAS_COMPRESS_DATA to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def sanitized_build(pytestconfig, tmp_path_factory) -> Path:
    """Folder of a CMake build that holds the core under AddressSanitizer and UBSan."""
    from tests.native_builds import sanitized_core

    return sanitized_core(pytestconfig, tmp_path_factory.getbasetemp())
