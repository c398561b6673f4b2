"""Knowledge distillation on top of `keras.distillation`: losses, teachers, caches, schedules."""

from keras_compress.distillation.attention import AttentionTransfer
from keras_compress.distillation.cache import TeacherCache
from keras_compress.distillation.cache_file import load_teacher_cache
from keras_compress.distillation.caching import cache_teacher
from keras_compress.distillation.distiller import Distiller
from keras_compress.distillation.hints import HintProjection, Hints
from keras_compress.distillation.soft_targets import SoftTargets
from keras_compress.distillation.teachers import FrozenTeachers

__all__ = [
    "AttentionTransfer",
    "Distiller",
    "FrozenTeachers",
    "HintProjection",
    "Hints",
    "SoftTargets",
    "TeacherCache",
    "cache_teacher",
    "load_teacher_cache",
]
