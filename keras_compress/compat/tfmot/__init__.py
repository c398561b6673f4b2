"""The interface of tensorflow-model-optimization 0.8.1 on Keras 3: one changed import.

```python
from keras_compress.compat import tfmot

model = tfmot.sparsity.keras.prune_low_magnitude(model)
```

The page `docs/migrating_from_tfmot.md` says of each call what is the same, better or not there.
"""

from keras_compress.compat.tfmot import clustering, experimental, quantization, sparsity

__all__ = ["clustering", "experimental", "quantization", "sparsity"]
