"""The guides' pictures are what their script draws from the results that are kept."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "docs/pictures"


@pytest.fixture(scope="module")
def pictures():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("guide_pictures").PICTURES
    finally:
        sys.path.pop(0)


def test_each_picture_is_the_one_drawn_from_the_results(pictures):
    assert {path.stem for path in PLACE.glob("*.svg")} == set(pictures)
    for name, draw in pictures.items():
        drawn = draw()
        assert (PLACE / f"{name}.svg").read_text() == drawn, "python benchmarks/guide_pictures.py"
        assert len(drawn) < 60_000


def test_pictures_are_whole_and_say_what_they_show(pictures):
    for draw in pictures.values():
        root = ElementTree.fromstring(draw())
        assert root.tag.endswith("svg")
        assert root[0].tag.endswith("title")
        assert root[0].text


def test_every_picture_is_on_a_page(pictures):
    pages = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert [name for name in pictures if f"](pictures/{name}.svg)" not in pages] == []
