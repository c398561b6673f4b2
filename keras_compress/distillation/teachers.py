"""The teachers, frozen, behind a model that owns none of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError


class FeatureTap:
    """Runs a model and hands out the results of chosen layers with its own.

    A plain object, so that a layer that holds one doesn't track the model for a second time.

    Args:
        model: A built `keras.Model`.
        layer_names: Layers to listen to.
        role: What errors call the model, `"teacher"` or `"student"`.

    Raises:
        KerasCompressError: If the model is subclassed, so that its layers' results aren't known,
            or has no such layer at its top level.
    """

    def __init__(self, model: Any, layer_names: Sequence[str], role: str) -> None:
        self.model = model
        self.layer_names = tuple(dict.fromkeys(layer_names))
        self.shapes: dict[str, tuple[Any, ...]] = {}
        self._extractor = None
        if not self.layer_names:
            return
        if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
            raise KerasCompressError(
                "Losses on layers need Sequential or functional models, whose layers have known "
                f"results. Received: a subclassed {role}, {model.name!r}. Use `SoftTargets` alone."
            )
        results = {}
        for name in self.layer_names:
            try:
                results[name] = model.get_layer(name=name).output
            except ValueError as error:
                known = ", ".join(layer.name for layer in model.layers)
                raise KerasCompressError(
                    f"A layer that a loss names must be a layer of the {role}, used once. "
                    f"Received: {name!r} for {model.name!r}, which has: {known}."
                ) from error
            self.shapes[name] = tuple(results[name].shape)
        outputs = model.outputs[0] if len(model.outputs) == 1 else model.output
        self._extractor = keras.Model(model.inputs, [outputs, results], name=f"{model.name}_tap")

    def __call__(self, inputs: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        """Return the model's outputs, and the features by layer name."""
        if self._extractor is None:
            return self.model(inputs, training=training), {}
        outputs, features = self._extractor(inputs, training=training)
        return outputs, features


class FrozenTeachers(keras.Model):
    """Any number of trained models that are run, and never trained or saved.

    `Distiller` puts its teachers behind one of these. It tracks none of their weights: they
    can't be trained, aren't counted, and don't end up in a file with the student. The models
    themselves stay as they are, `trainable` flags included.

    Args:
        models: Built models, the teachers.
        layer_names: For each model the layers to listen to. Defaults to `None` (none).
        name: Name of the model. Defaults to `"teachers"`.

    Raises:
        KerasCompressError: If a model is unbuilt or lacks a layer.
    """

    def __init__(
        self,
        models: Sequence[Any],
        layer_names: Sequence[Sequence[str]] | None = None,
        name: str = "teachers",
    ) -> None:
        super().__init__(name=name)
        for model in models:
            require_built(model)
        names = layer_names or [()] * len(models)
        taps = [FeatureTap(m, n, "teacher") for m, n in zip(models, names, strict=True)]
        self._held = _Held(taps)
        self.built = True

    @property
    def models(self) -> tuple[Any, ...]:
        """The teachers."""
        return tuple(tap.model for tap in self._held.taps)

    def feature_shape(self, teacher: int, layer_name: str) -> tuple[Any, ...]:
        """Return the shape of a layer's output, the batch first."""
        return self._held.taps[teacher].shapes[layer_name]

    def call(self, inputs: Any, training: bool = False) -> list[tuple[Any, dict[str, Any]]]:
        """Return for each teacher its outputs and its features by layer name.

        Teachers run in inference mode, whatever `training` says.
        """
        results = [tap(inputs, training=False) for tap in self._held.taps]
        return keras.tree.map_structure(keras.ops.stop_gradient, results)


class _Held:
    """Hides its content from Keras, which would track models in a list."""

    def __init__(self, taps: list[FeatureTap]) -> None:
        self.taps = taps
