"""`convert`: from a Keras model to a verified `.tflite`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_compress.errors import ExportError
from keras_compress.exporter.export_result import Export, ExportWarning
from keras_compress.exporter.tf_converter import INTEGER_ACTIVATIONS
from keras_compress.exporter.verification import Verification
from keras_compress.tflite.reader import read_tflite
from keras_compress.tflite.running import densified_constants
from keras_compress.tflite.runtime import load_runtime

if TYPE_CHECKING:
    import keras

    from keras_compress.exporter.shuffle_folding import FoldedShuffle

__all__ = ["Export", "ExportWarning", "convert"]

_RANDOM_SAMPLES = 16


def convert(
    model: keras.Model,
    *,
    precision: str = "float32",
    representative_data: object = None,
    samples: object = None,
    verify: bool = True,
    verify_layers: bool = False,
    tolerance: float | None = None,
    fold_batch_norm: bool = True,
    fold_shuffles: bool = True,
    per_channel: bool = True,
    quantizer: str = "tensorflow",
    io_dtype: str | None = None,
    sparse: bool = False,
    input_shape: object = None,
    allow_custom_ops: bool = False,
    binary: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> Export:
    """Convert a Keras model to TFLite: batch 1, built-in operators, verified.

    Layers of `keras_compress.binary` become custom operators that compute with bits, and the same
    model in built-in operators comes along as `Export.binary.fallback`.

    A model from `keras_compress.quantization` is converted by the ranges it was trained with, with
    `precision="int8"` and without representative data.

    The model is left as it is. Half-precision models are converted, and compared, as they
    compute in float32.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_compress import exporter

    model = keras.Sequential([
        keras.Input((16, 16, 3)),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, activation="softmax"),
    ])
    x = np.random.default_rng(0).random((32, 16, 16, 3), dtype="float32")
    exported = exporter.convert(model, precision="int8", representative_data=x)
    print(len(exported.tflite), exported.verification.max_abs_error)
    ```

    Args:
        model: A built `keras.Model`: Sequential, functional, nested or subclassed.
        precision: `"float32"`; `"float16"`, weights halved and widened when loaded;
            `"dynamic"`, weights of large layers in int8, activations float (beside binary layers
            these weights are widened when loaded); `"int8"`, integers throughout;
            `"int16x8"`, the same with activations of 16 bits. Defaults to `"float32"`.
        representative_data: Typical inputs, on which integers measure the activations'
            ranges: arrays with samples along the first axis, in the structure of the model's
            inputs or in a dict from their names, or batches of these: a list, a generator, a
            function that returns one, a `tf.data.Dataset`, a `keras.utils.PyDataset`. Of
            batches `(inputs, targets)` the inputs are used. Defaults to `None`.
        samples: Inputs to verify on, in the same forms. Defaults to `None`: the
            representative data, else 16 made-up samples.
        verify: Whether to run the converted model beside the Keras model. Defaults to `True`.
        verify_layers: Whether to compare layer by layer too, on the first sample. Defaults to
            `False`.
        tolerance: Largest absolute error of a result to accept. Defaults to `None`: any is
            accepted and stated.
        fold_batch_norm: Whether the converter may multiply a `BatchNormalization` into the
            convolution before it. That is fastest, and turns values shared by a kernel into
            values shared by a channel. With `False` every normalization that follows a layer
            stays a multiplication and an addition. Defaults to `True`.
        fold_shuffles: Whether shuffles of channels, as in ShuffleNet, are folded into the order of
            weights where that is faster: integers stay the same to the bit, floats may be added
            up in another order. What was folded, and what not, stands in `Export.shuffles`. Models
            with binary layers are left as they are. Defaults to `True`.
        per_channel: Whether integer kernels have one scale a channel rather than one in all.
            `False` keeps shared values shared, at some cost in accuracy. Defaults to `True`.
        quantizer: What makes integers of a float model: `"tensorflow"`, its converter; `"ai-edge"`,
            Google's ai-edge-quantizer (the extra `ai-edge`) on the converter's float model, for
            `"int8"` and `"dynamic"`. Defaults to `"tensorflow"`.
        io_dtype: For integers throughout, the type of float inputs and results: that of the
            activations, `"int8"` or `"int16"`, or `"float32"`. Defaults to `None`, meaning that
            of the activations.
        sparse: Whether to store kernels with enough zeros in TFLite's sparse format; float
            precisions only. Defaults to `False`.
        input_shape: Shape of one sample where the model leaves sizes open; shapes in the
            structure of the inputs where there are several. Defaults to `None`.
        allow_custom_ops: Whether layers with an export handler may emit custom operators. Such
            a model can't be verified here. Defaults to `False`.
        binary: `"auto"`: custom operators for binary layers, if there are any; `"never"`: built-in
            operators alone. Defaults to `"auto"`.
        progress: Called with one line before every stage. Defaults to `None`.

    Returns:
        An `Export`.

    Raises:
        ExportError: If settings don't go together or need a package that isn't installed, if the
            model is unbuilt, wrapped for
            training, not finite or not expressible in built-in operators, or if verification
            finds NaN or an error above `tolerance`.
    """
    from keras_compress.exporter import checks
    from keras_compress.exporter.trained_ranges import (
        check_trained_ranges,
        has_trained_ranges,
        simulation_notes,
    )

    tell = progress or (lambda line: None)
    trained = has_trained_ranges(model)
    if trained:
        check_trained_ranges(
            precision=precision,
            has_data=representative_data is not None,
            per_channel=per_channel,
        )
    checks.check_options(
        precision=precision,
        has_data=trained or representative_data is not None,
        sparse=sparse,
        io_dtype=io_dtype,
        tolerance=tolerance,
        binary=binary,
        quantizer=quantizer,
        per_channel=per_channel,
        trained_ranges=trained,
    )
    checks.check_model(model, precision=precision)

    from keras_compress.exporter import binary as binary_way
    from keras_compress.exporter import (
        conversion,
        inputs,
        preservation,
        tracing,
    )
    from keras_compress.exporter import notes as notes_module
    from keras_compress.exporter import verification as verification_module
    from keras_compress.exporter.weight_widening import widen_weights

    representative_data = inputs.gathered_samples(
        model, representative_data, argument="representative_data"
    )
    samples = inputs.gathered_samples(model, samples, argument="samples")
    given = representative_data if samples is None else samples
    takes = inputs.describe_inputs(model, samples=given, input_shape=input_shape)
    calibration = None
    if representative_data is not None:
        calibration = takes.rows(representative_data, argument="representative_data")
    if samples is not None:
        rows, origin = takes.rows(samples, argument="samples"), "samples"
    elif calibration is not None:
        rows, origin = calibration, "representative_data"
    else:
        rows, origin = takes.random_rows(_RANDOM_SAMPLES), "random"

    tell("Tracing the model")
    has_bits = binary_way.has_binary_kernels(model)
    if has_bits and (quantizer == "ai-edge" or precision == "int16x8"):
        raise ExportError(
            'Binary layers go with neither quantizer="ai-edge" nor precision="int16x8". Received: '
            f'{model.name!r}, which has some, and quantizer="{quantizer}" and '
            f'precision="{precision}". Use precision="int8" of the default quantizer.'
        )
    trace = tracing.trace_model(model, takes, keep_batch_norm=not fold_batch_norm)
    tell(f"Converting to {precision}")
    data, indices = conversion.convert_trace(
        trace,
        model,
        takes,
        precision=precision,
        calibration=calibration,
        io_dtype=io_dtype,
        per_channel=per_channel,
        sparse=sparse,
        allow_custom_ops=allow_custom_ops,
        trained_ranges=trained,
        quantizer=quantizer,
    )
    if has_bits and precision == "dynamic":
        data = widen_weights(data)
    converted, file = data, read_tflite(data)
    runs_here = not file.custom_operators
    shuffles: tuple[FoldedShuffle, ...] = ()
    if fold_shuffles:
        from keras_compress.exporter import shuffle_folding

        folding = (
            shuffle_folding.keep_shuffles(data, file, "the weights may be bits of binary layers")
            if has_bits
            else shuffle_folding.fold_shuffles(data, file)
        )
        data, shuffles = folding.tflite, folding.shuffles
    # Layers and weights are compared with the converter's file, in whose order they are.
    shipped = file if data is converted else read_tflite(data)

    notes = []
    verification = None
    if verify and runs_here:
        tell(f"Verifying on {len(rows[0])} samples")
        verification = _verified(
            verification_module, model, takes, trace, data, shipped, rows, origin
        )
        if verify_layers:
            first = [array[:1] for array in rows]
            layers, unmapped = verification_module.verify_layers(
                model, takes, trace, converted, file, first, indices
            )
            verification = replace(verification, layers=layers, unmapped_layers=unmapped)
    elif verify:
        notes.append(
            "Not verified: the runtime here lacks the custom operators "
            f"{', '.join(file.custom_operators)}."
        )
    tell("Checking zeros and shared values")
    densified = densified_constants(converted, file) if sparse and runs_here else None
    preserved = preservation.measure_preservation(model, file, densified=densified)

    notes += notes_module.preservation_notes(preserved, fold_batch_norm, per_channel)
    if verification is not None:
        named = dict(zip([spec.name for spec in takes.specs], rows, strict=True))
        notes += notes_module.verification_notes(verification, precision, file, named)
        if trained:
            notes += simulation_notes(verification)
    if sparse:
        notes += notes_module.sparse_notes(data)
    for note in notes:
        warnings.warn(note, ExportWarning, stacklevel=2)
    if verification is not None and tolerance is not None:
        _check_tolerance(verification, tolerance)
    exported = Export(
        tflite=data,
        precision=precision,
        options={
            "fold_batch_norm": fold_batch_norm,
            "fold_shuffles": fold_shuffles,
            "per_channel": per_channel,
            "quantizer": quantizer,
            "io_dtype": io_dtype or INTEGER_ACTIVATIONS.get(precision, "float32"),
            "sparse": sparse,
        },
        verification=verification,
        preservation=preserved,
        operators=tuple(operator.name for operator in shipped.operators),
        notes=tuple(notes),
        shuffles=shuffles,
    )
    if not has_bits or binary == "never":
        return exported
    tell("Storing binary layers as bits")

    def verify_again(data: bytes, file: object) -> Verification:
        return _verified(verification_module, model, takes, trace, data, file, rows, origin)

    names = [spec.name for spec in takes.specs]
    exported = binary_way.with_custom_operators(
        exported, verify_again if verify else None, dict(zip(names, rows, strict=True))
    )
    if exported.verification is not None and tolerance is not None:
        _check_tolerance(exported.verification, tolerance)
    return exported


def _verified(
    module: Any,
    model: keras.Model,
    takes: Any,
    trace: Any,
    data: bytes,
    file: Any,
    rows: list[np.ndarray],
    origin: str,
) -> Verification:
    outputs = module.verify_outputs(model, takes, trace, data, file, rows)
    runtime = load_runtime()
    return Verification(
        samples=len(rows[0]),
        data=origin,
        outputs=outputs,
        layers=(),
        unmapped_layers=(),
        runtime=f"{runtime.name} {runtime.version}",
    )


def _check_tolerance(verification: Verification, tolerance: float) -> None:
    for output in verification.outputs:
        if not output.max_abs_error <= tolerance:
            raise ExportError(
                f"The converted model must stay within tolerance={tolerance:g} of the Keras "
                f"model. Received: result {output.name!r} off by {output.max_abs_error:g} on "
                f"{verification.samples} samples ({verification.data})."
            )
