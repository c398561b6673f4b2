"""The report: a JSON object with what came of a compression, and the page that shows it."""

from __future__ import annotations

from keras_compress.report.page import render
from keras_compress.report.reading import LARGEST_REPORT, parse

__all__ = ["LARGEST_REPORT", "parse", "render"]
