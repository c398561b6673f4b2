"""The version is the same wherever it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import keras_compress
from keras_compress.android.app import APP_VERSION

ROOT = Path(__file__).resolve().parents[1]


def test_the_apps_version_is_the_packages():
    assert keras_compress.__version__ == APP_VERSION


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("android_demo/app/build.gradle", r"versionName = '([^']+)'"),
        ("android_demo/pom.xml", r"<version>([^<]+)</version>"),
    ],
)
def test_the_builds_of_the_app_have_it_too(name, pattern):
    found = re.search(pattern, (ROOT / name).read_text())
    assert found
    assert found[1] == keras_compress.__version__
