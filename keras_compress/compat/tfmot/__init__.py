"""The interface of tensorflow-model-optimization 0.8.1 on Keras 3: one changed import.

```python
from keras_compress.compat import tfmot

model = tfmot.sparsity.keras.prune_low_magnitude(model)
```

The page `docs/migrating_from_tfmot.md` says of each call what is the same, better or not there.
"""

from __future__ import annotations

from typing import Any

from keras_compress.compat.tfmot import clustering, sparsity
from keras_compress.errors import KerasCompressError

__all__ = ["clustering", "sparsity"]


def __getattr__(name: str) -> Any:
    if name == "quantization":
        raise KerasCompressError(
            "Quantization-aware training is not there yet. Received: `tfmot.quantization`. For a "
            'full-int8 model use `keras_compress.exporter.export(model, folder, precision="int8", '
            "samples=...)`, which quantizes after training and verifies the result."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
