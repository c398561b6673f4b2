"""Locks the public names: a change here is a change for every user."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "keras_compress": [
        "KerasCompressError",
        "__version__",
        "architectures",
        "bench",
        "binary",
        "clustering",
        "distillation",
        "exporter",
        "inspect",
        "open_packed",
        "pack",
        "packing",
        "pruning",
        "rate",
        "recipes",
        "report",
        "unpack",
    ],
    "keras_compress.pruning": [
        "Accuracy",
        "ConstantSparsity",
        "FilterPruner",
        "FilterPruningCallback",
        "LayerSensitivity",
        "OneShot",
        "Operated",
        "PolynomialDecay",
        "Pruned",
        "Pruner",
        "PruningCallback",
        "PruningConfig",
        "PruningRound",
        "PruningSchedule",
        "Sensitivity",
        "StaircaseSparsity",
        "SurgeryCallback",
        "SurgeryConfig",
        "filter_mask",
        "finalize",
        "global_magnitude_masks",
        "layer_configs",
        "magnitude_mask",
        "prepare",
        "prepare_surgery",
        "prune_iteratively",
        "report",
        "scan_sensitivity",
        "threshold_rates",
    ],
    "keras_compress.clustering": [
        "Clustered",
        "Clusterer",
        "ClusteringCallback",
        "ClusteringConfig",
        "Codebook",
        "Reassigned",
        "ReassignmentCallback",
        "align_channels",
        "entropy_constrained_codebook",
        "finalize",
        "fisher_importance",
        "initial_centroids",
        "int8_survival",
        "kmeans_1d",
        "make_codebook",
        "prepare",
        "prepare_reassignment",
        "report",
        "round_codebooks",
    ],
    "keras_compress.distillation": [
        "AttentionTransfer",
        "Distiller",
        "FrozenTeachers",
        "HintProjection",
        "Hints",
        "SoftTargets",
        "TeacherCache",
        "cache_teacher",
        "load_teacher_cache",
    ],
    "keras_compress.architectures": [
        "digits_cnn",
        "lenet_300_100",
        "lenet_5",
        "resnet8",
        "small_cnn",
    ],
    "keras_compress.android": [
        "android_bench",
        "merge_results",
    ],
    "keras_compress.bench": [
        "BenchmarkResult",
        "ModelResult",
        "bench",
        "load_result",
    ],
    "keras_compress.exporter": [
        "Export",
        "ExportWarning",
        "Survival",
        "TfliteFile",
        "Verification",
        "WeightSurvival",
        "convert",
        "export",
        "read_tflite",
        "register_export_handler",
    ],
    "keras_compress.packing": [
        "FileSizes",
        "Inspection",
        "PackedFile",
        "PackedTensor",
        "TensorReport",
        "inspect",
        "open_packed",
        "pack",
        "pack_file",
        "unpack",
        "unpack_file",
        "unpack_into",
        "verify",
    ],
    "keras_compress.rate": [
        "RateAware",
        "RateCallback",
        "RateConfig",
        "code_length",
        "estimated_bits",
        "finalize",
        "prepare",
        "report",
    ],
    "keras_compress.recipes": [
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
    ],
    "keras_compress.report": [
        "LARGEST_REPORT",
        "parse",
        "render",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_these_and_all_load(module):
    package = importlib.import_module(module)
    assert sorted(package.__all__) == sorted(PUBLIC[module])
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(PUBLIC[module]) <= set(dir(package))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        importlib.import_module("keras_compress").nothing  # noqa: B018
