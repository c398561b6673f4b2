"""Whole pipelines, from data to files, called by name."""

from __future__ import annotations

from keras_compress.recipes.compression_target import CompressionTarget
from keras_compress.recipes.deep_compression import DeepCompression, deep_compression
from keras_compress.recipes.demo import DemoResult, run_demo
from keras_compress.recipes.image_data import ImageData, load_digits, load_npz
from keras_compress.recipes.progress import Progress, RichProgress
from keras_compress.recipes.settings import DemoSettings, LayerPlan, Phase, settings_for

__all__ = [
    "CompressionTarget",
    "DeepCompression",
    "DemoResult",
    "DemoSettings",
    "ImageData",
    "LayerPlan",
    "Phase",
    "Progress",
    "RichProgress",
    "deep_compression",
    "load_digits",
    "load_npz",
    "run_demo",
    "settings_for",
]
