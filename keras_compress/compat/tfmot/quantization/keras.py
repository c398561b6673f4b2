"""`tfmot.quantization.keras`."""

from types import SimpleNamespace

from keras_compress.compat.tfmot.quantization import scheme as _scheme
from keras_compress.compat.tfmot.quantization.quantize import (
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)
from keras_compress.compat.tfmot.quantization.quantize_config import QuantizeConfig
from keras_compress.compat.tfmot.quantization.quantizers import (
    AllValuesQuantizer,
    FixedQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
    Quantizer,
)
from keras_compress.compat.tfmot.quantization.ranges import (
    fix_input_output_range,
    remove_input_range,
)
from keras_compress.compat.tfmot.quantization.scheme import (
    QuantizeLayoutTransform,
    QuantizeRegistry,
    QuantizeScheme,
)
from keras_compress.compat.tfmot.quantization.wrapper import QuantizeWrapperV2

quantizers = SimpleNamespace(
    AllValuesQuantizer=AllValuesQuantizer,
    FixedQuantizer=FixedQuantizer,
    LastValueQuantizer=LastValueQuantizer,
    MovingAverageQuantizer=MovingAverageQuantizer,
    Quantizer=Quantizer,
)
default_8bit = SimpleNamespace(
    Default8BitQuantizeLayoutTransform=_scheme.Default8BitQuantizeLayoutTransform,
    Default8BitQuantizeRegistry=_scheme.Default8BitQuantizeRegistry,
    Default8BitQuantizeScheme=_scheme.Default8BitQuantizeScheme,
)
collab_opts = SimpleNamespace(
    Default8BitPrunePreserveQuantizeScheme=_scheme.Default8BitPrunePreserveQuantizeScheme,
)
experimental = SimpleNamespace(
    default_n_bit=SimpleNamespace(
        DefaultNBitQuantizeLayoutTransform=_scheme.DefaultNBitQuantizeLayoutTransform,
        DefaultNBitQuantizeRegistry=_scheme.DefaultNBitQuantizeRegistry,
        DefaultNBitQuantizeScheme=_scheme.DefaultNBitQuantizeScheme,
    )
)

#: As in tfmot, where the second one differs in the order of weights in a file of Keras 2.
QuantizeWrapper = QuantizeWrapperV2

__all__ = [
    "QuantizeConfig",
    "QuantizeLayoutTransform",
    "QuantizeRegistry",
    "QuantizeScheme",
    "QuantizeWrapper",
    "QuantizeWrapperV2",
    "collab_opts",
    "default_8bit",
    "experimental",
    "fix_input_output_range",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantizers",
    "remove_input_range",
]
