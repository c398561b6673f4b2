"""The files of Keras 2 that the tests open, unpacked once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory) -> Path:
    """Folder of what `make_fixtures.py` wrote."""
    folder = tmp_path_factory.mktemp("keras_2")
    with zipfile.ZipFile(Path(__file__).parent / "fixtures.zip") as archive:
        archive.extractall(folder)
    return folder
