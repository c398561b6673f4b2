"""What both techniques share: the base of tfmot's wrappers, and models in which layers change."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.copying.graph_copy import is_clonable
from keras_compress.engine.wrapper import SubstitutedLayer
from keras_compress.errors import KerasCompressError

if TYPE_CHECKING:
    import numpy as np

    from keras_compress.tensor import Tensor


class TfmotWrapper(SubstitutedLayer):
    """Base of the wrappers: a wrapper that seems to be its layer but for the weights it adds.

    Args:
        layer: The layer to wrap; it is held itself, not a copy.
    """

    needs_kernel = False

    #: What stands before the name of the layer in that of the wrapper.
    prefix = ""

    def __init__(self, layer: keras.Layer, **kwargs: Any) -> None:
        kwargs = {"name": f"{self.prefix}_{layer.name}", **declared_input(layer), **kwargs}
        several = _takes_several_shapes(layer)
        super().__init__(layer, **kwargs)
        if several:
            # Keras reads off `build` which shapes a layer is built from.
            self.build = _built_like(layer.build, self.build)  # type: ignore[method-assign]

    def build(self, input_shape: Any = None, **shapes: Any) -> None:
        if isinstance(input_shape, dict) and _takes_several_shapes(self.layer):
            shapes = input_shape  # So are they saved.
        if shapes and not self.layer.built:
            self.layer.build(**shapes)
        super().build(input_shape)

    def choose_weights(self) -> list[keras.Variable]:
        """Return the variables of the built layer to work on."""
        raise NotImplementedError

    def choose_indices(self) -> list[int]:
        place_of = {id(variable): i for i, variable in enumerate(self.layer.variables)}
        chosen = self.choose_weights()
        strange = [each for each in chosen if id(each) not in place_of]
        if strange:
            raise KerasCompressError(
                f"Weights to be {self.action} must be variables of their layer. Received: "
                f"{strange[0]!r} for {self.layer.name!r}. Make it by `add_weight`."
            )
        return [place_of[id(each)] for each in chosen]

    @property
    def trainable(self) -> Any:
        layer = getattr(self, "layer", None)
        return super().trainable if layer is None else layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.layers.Wrapper.trainable.fset(self, value)

    def get_weights(self) -> list[np.ndarray]:
        """Return the weights of the wrapped layer alone, as tfmot does."""
        return list(self.layer.get_weights())

    def set_weights(self, weights: object) -> None:
        """Set the weights of the wrapped layer alone."""
        self.layer.set_weights(weights)

    def get_config(self) -> dict[str, object]:
        config = super().get_config()
        # Which weights are meant is told by the layer.
        config.pop("indices")
        return config


def assigns_in_call() -> bool:
    """Whether a layer may assign to its trainable weights while it is called, for good.

    JAX hands back none but the untrained ones; PyTorch still needs the old values for the
    gradient; replicas would have to agree.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync) == 1


def outside_of_graphs() -> contextlib.AbstractContextManager[Any]:
    """Return a scope in which weights have values, though TensorFlow traces a training step."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.init_scope()


def declared_input(layer: keras.Layer) -> dict[str, Any]:
    """Return `{"input_shape": ...}` if `layer` was given one as it was made, else `{}`.

    As in tfmot the wrapper then stands for the layer: a Sequential model that begins with it is
    built at once.
    """
    if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model) or layer.built:
        return {}
    # A layer keeps the shape to itself; a Sequential model that begins with it tells.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = keras.Sequential([layer])
    return {"input_shape": tuple(probe.input_shape[1:])} if probe.built else {}


def is_graph(model: keras.Model) -> bool:
    """Whether `model` is Sequential, built or not, or functional."""
    return isinstance(model, keras.Sequential) or (
        isinstance(model, keras.Model) and is_clonable(model)
    )


def with_layers(call: str, model: keras.Model, function: Callable[[Any], Any]) -> keras.Model:
    """Return a model like `model` in which `function(layer)` stands for each layer.

    As in tfmot layers that `function` returns are shared with `model`, weights included, and the
    result has no optimizer.

    Args:
        call: Name of the public function, for errors.
        model: A Sequential model, built or not, or a functional one; nested or not.
        function: Called with each layer that is no model and no input.

    Raises:
        KerasCompressError: If the model, or one nested in it, is subclassed.
    """
    if not is_graph(model):
        raise KerasCompressError(
            f"Subclassed models are not supported currently. Received: {model.name!r} of type "
            f"{type(model).__name__} for `{call}`. Use the callbacks of `keras_compress.pruning` "
            "and `keras_compress.clustering`, which take any model."
        )

    def put(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.Model):
            return with_layers(call, layer, function)
        return function(layer) if isinstance(layer, keras.Layer) else layer

    if not model.layers:
        return keras.Sequential(name=model.name)
    compiled = model.compiled
    try:
        # Keras would compile the clone alike.
        model.compiled = False
        return keras.models.clone_model(
            model, input_tensors=_inputs_like(model), clone_function=put
        )
    finally:
        model.compiled = compiled


def _inputs_like(model: keras.Model) -> Any:
    """Return inputs of the names of those of a functional model, which Keras would name anew."""
    if isinstance(model, keras.Sequential):
        return None
    held = [each for each in model.layers if isinstance(each, keras.layers.InputLayer)]
    layer_of = {id(layer.output): layer for layer in held}

    def like(tensor: Tensor) -> Any:
        return keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            name=layer_of[id(tensor)].name,
            optional=layer_of[id(tensor)].optional,
        )

    return keras.tree.map_structure(like, model.input)


def _takes_several_shapes(layer: keras.Layer) -> bool:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return (
        sum(
            parameter.kind in kinds and parameter.default is parameter.empty
            for parameter in inspect.signature(layer.build).parameters.values()
        )
        > 1
    )


def _built_like(other: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """Return `own` with the parameters of `other`."""

    @functools.wraps(own)
    def build(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs)

    build.__signature__ = inspect.signature(other)  # type: ignore[attr-defined]
    return build
