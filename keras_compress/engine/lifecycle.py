"""`prepare`, `finalize` and `compression_report`, the same for all techniques."""

from __future__ import annotations

import keras

from keras_compress.engine.cloning import unwrap_layers
from keras_compress.engine.effects import overall_report
from keras_compress.engine.report import Report
from keras_compress.engine.technique import TechniqueConfig, technique_of, technique_that_holds
from keras_compress.engine.weights import select_weights


def prepare(model: keras.Model, config: TechniqueConfig) -> keras.Model:
    """Return a copy of `model` that is ready to be trained by a technique.

    Which one is told by the kind of the settings. The copy has the same weights and, if `model`
    is compiled, the same compilation; `model` stays as it is.

    Example:

    ```python
    ready = keras_compress.prepare(model, pruning.PruningConfig(0.5))
    ready.fit(x, y, verbose=0, callbacks=[pruning.PruningCallback(0.5)])
    small = keras_compress.finalize(ready)
    ```

    Args:
        model: A built Sequential or functional model, nested or not. A subclassed model is
            trained with the callback of the technique instead.
        config: The settings: `PruningConfig`, `SurgeryConfig`, `ClusteringConfig`, `RateConfig`
            or `QuantizationConfig`.

    Returns:
        The prepared model, with the wrappers of the technique in the place of chosen layers.

    Raises:
        KerasCompressError: If `config` is none of these, the model is unbuilt, subclassed,
            prepared already or has nothing to work on, or if a weight is NaN or infinite.
    """
    return technique_of(config).prepare(model, config)


def finalize(model: keras.Model) -> keras.Model:
    """Return a copy of a trained model in stock layers, with what was done to it baked in.

    Pruned weights are exactly zero, clustered ones share values, rounded and quantized ones lie on
    their grid. Ranges of quantized activations stay; `quantization.finalize` can leave them out.

    Args:
        model: A model from `prepare`, or one that was trained with the callback of a technique.

    Returns:
        A plain Keras model, compiled like `model` with an optimizer of the user's own kind. A
        subclassed model has only stock layers and is returned itself.

    Raises:
        KerasCompressError: If the model is unbuilt, a layer can't be copied, or a wrapper can't
            be taken out of the layer that holds it.
    """
    technique = technique_that_holds(model)
    if technique is not None and technique.finalize is not None:
        return technique.finalize(model)
    return unwrap_layers(model)


def compression_report(model: keras.Model, config: TechniqueConfig | None = None) -> Report:
    """Return per weight what was done to it, or why it was left alone.

    Example:

    ```python
    print(keras_compress.compression_report(model))
    ```

    Args:
        model: A model during or after a training with any techniques, finalized or not.
        config: The settings of one technique, to be told of that alone. Defaults to `None`: of
            what is in force, and of the zeros and the shared values that the kernels show.

    Returns:
        A `Report` with a row for each weight: layer, weight, shape, action, reason, size, zeros,
        distinct values. It prints as a table, and `to_dict()` is for JSON. Of a quantized model
        it is a `QuantizationReport`, with a row for each layer.

    Raises:
        KerasCompressError: If the model is unbuilt, or `config` is of no technique or matches
            no layer.
    """
    technique = technique_that_holds(model) if config is None else technique_of(config)
    if technique is None:
        return overall_report(model, select_weights(model))
    return technique.report(model, config)
