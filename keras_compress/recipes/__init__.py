"""Whole pipelines, from data to files, called by name."""

from __future__ import annotations

from keras_compress.recipes.architecture_plot import plot_architectures
from keras_compress.recipes.architecture_table import (
    ArchitectureRow,
    architecture_names,
    architecture_table,
)
from keras_compress.recipes.compression_target import CompressionTarget
from keras_compress.recipes.deep_compression import DeepCompression, deep_compression
from keras_compress.recipes.demo import DemoResult, run_demo
from keras_compress.recipes.image_data import ImageData, load_digits, load_npz
from keras_compress.recipes.post_training import (
    PostTrainingCompression,
    PostTrainingTrial,
    post_training_compression,
)
from keras_compress.recipes.post_training_target import PostTrainingTarget
from keras_compress.recipes.settings import DemoSettings, LayerPlan, Phase, settings_for
from keras_compress.recipes.smaller_net import SmallerNet, prune_channels
from keras_compress.recipes.smaller_net_target import SmallerNetTarget
from keras_compress.recipes.unlabelled_images import load_unlabelled

__all__ = [
    "ArchitectureRow",
    "CompressionTarget",
    "DeepCompression",
    "DemoResult",
    "DemoSettings",
    "ImageData",
    "LayerPlan",
    "Phase",
    "PostTrainingCompression",
    "PostTrainingTarget",
    "PostTrainingTrial",
    "SmallerNet",
    "SmallerNetTarget",
    "architecture_names",
    "architecture_table",
    "deep_compression",
    "load_digits",
    "load_npz",
    "load_unlabelled",
    "plot_architectures",
    "post_training_compression",
    "prune_channels",
    "run_demo",
    "settings_for",
]
