"""Rate-aware training: the loss plus lambda times the bits that the packer will need."""

from keras_compress.engine.lifecycle import finalize
from keras_compress.rate.callback import RateCallback
from keras_compress.rate.code_length import code_length
from keras_compress.rate.config import RateConfig
from keras_compress.rate.lifecycle import estimated_bits, prepare, report
from keras_compress.rate.wrapper import RateAware

__all__ = [
    "RateAware",
    "RateCallback",
    "RateConfig",
    "code_length",
    "estimated_bits",
    "finalize",
    "prepare",
    "report",
]
