"""The teachers, frozen, behind a model that owns none of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import keras

from keras_compress.engine.weights import require_built
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_Value = TypeVar("_Value")


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

    def __init__(self, model: keras.Model, layer_names: Sequence[str], role: str) -> None:
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
            if keras.tree.is_nested(results[name]):
                raise KerasCompressError(
                    "A layer that a loss names must have one output. Received: "
                    f"{name!r} of the {role}, which has {len(keras.tree.flatten(results[name]))}."
                )
            self.shapes[name] = tuple(results[name].shape)
        # In the structures of the model: a flat list would cross the keys of a dict.
        inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
        outputs = [symbolic_outputs(model), results]
        self._extractor = keras.Model(inputs, outputs, name=f"{model.name}_tap")

    def __call__(self, inputs: Tensor, training: bool) -> tuple[Any, dict[str, Any]]:
        """Return the model's outputs, and the features by layer name."""
        if self._extractor is None:
            return self.model(inputs, training=training), {}
        outputs, features = self._extractor(inputs, training=training)
        return outputs, features


def symbolic_outputs(model: keras.Model) -> Any:
    """Return a model's outputs in their structure, symbolic; `None` if it is subclassed."""
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        return None
    return model.outputs[0] if isinstance(model, keras.Sequential) else model.output


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
        models: Sequence[keras.Model],
        layer_names: Sequence[Sequence[str]] | None = None,
        name: str = "teachers",
    ) -> None:
        # Inputs reach a teacher as they are, whatever the student computes in.
        super().__init__(name=name, dtype="float32", autocast=False)
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

    def call(self, inputs: Tensor, training: bool = False) -> list[tuple[Any, dict[str, Any]]]:
        """Return for each teacher its outputs and its features by layer name.

        Teachers run in inference mode, whatever `training` says.
        """
        results = [tap(inputs, training=False) for tap in self._held.taps]
        return keras.tree.map_structure(keras.ops.stop_gradient, results)


class _Held:
    """Hides its content from Keras, which would track models in a list."""

    def __init__(self, taps: list[FeatureTap]) -> None:
        self.taps = taps


class TeacherWatch:
    """Sees whether teachers changed since a step was compiled.

    JAX makes constants of the teachers' weights, which the distiller doesn't track.

    Args:
        models: The teachers.
    """

    def __init__(self, models: Sequence[keras.Model]) -> None:
        self._models = list(models)
        self._seen: dict[str, list[Any]] = {}

    def changed(self, step: str) -> bool:
        """Return whether a weight isn't what it was when this was last asked for the step."""
        if keras.backend.backend() != "jax":
            return False
        # Its arrays can't change: a weight that did is another array.
        values = [variable.value for model in self._models for variable in model.variables]
        seen = self._seen.get(step, [])
        self._seen[step] = values
        return len(seen) != len(values) or any(
            a is not b for a, b in zip(seen, values, strict=True)
        )


class Untracked(Generic[_Value]):
    """Hides its value from Keras, which tracks models, losses and containers it is given."""

    def __init__(self, value: _Value) -> None:
        self.value = value
