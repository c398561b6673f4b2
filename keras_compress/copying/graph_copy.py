"""A copy of a Sequential or functional model: its graph, ties between layers, and its class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_compress.copying.layer_copy import LayerCopy, is_stock, mentions
from keras_compress.errors import KerasCompressError
from keras_compress.layers import iter_layers, wrapped_layer

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

_STANDS_ALONE = "a copy of a model must not share weights with the original"


def is_clonable(model: keras.Model) -> bool:
    """Whether `model` is Sequential or functional and built, so that its graph is known."""
    # A functional model knows the symbolic tensors it was made from; a subclassed one doesn't.
    return bool(getattr(model, "inputs", None)) and bool(getattr(model, "outputs", None))


def is_nested(layer: keras.Layer) -> bool:
    """Whether `layer` is a model whose own graph can be copied."""
    return isinstance(layer, keras.Model) and is_clonable(layer)


class GraphCopy:
    """Copies the graph of a model, layer by layer.

    A layer that is called twice, or is a part of another one, has one copy; and so has each
    weight, or the model is refused.

    Args:
        model: A built Sequential or functional model, nested or not.
        put: Called with a layer and its `LayerCopy`; returns what stands in the copied graph:
            the copy, or a wrapper around it.
        bare: Whether wrappers of this library are left out. Defaults to `False`.
    """

    def __init__(
        self, model: keras.Model, put: Callable[[Any, LayerCopy], Any], *, bare: bool = False
    ) -> None:
        self._model = model
        self._put = put
        self._bare = bare
        self._in_graph: dict[int, Any] = {}
        self._copies: dict[int, LayerCopy] = {}
        self._underway: set[int] = set()
        #: Each model, outermost last, and its copy.
        self._models: list[tuple[Any, Any]] = []
        self._holders = holders_of(model)
        self._of_graph = {id(layer): layer for layer in (*graph_layers(model), *_nested(model))}
        #: Copies of variables that belong to a model itself.
        self._own: dict[int, tuple[Any, Any]] = {}
        #: The `id` of each variable of the copy that its graph reads past the layer that has it.
        self.read_in_graph: set[int] = set()
        for layer in list(self._of_graph.values()):
            within = wrapped_layer(layer)
            if within is not None:
                self._of_graph.setdefault(id(within), layer)

    def copy(self) -> keras.Model:
        """Return the copy, with the state of `model`, not compiled."""
        clone = self._model_copy(self._model)
        for each in list(self._copies.values()):
            each.complete()
        self._check_ties()
        for model, copy in reversed(self._models):
            if copy.trainable != model.trainable:
                copy.trainable = model.trainable
        for each in self._copies.values():
            each.keep_trainable()
        return clone

    def check(self) -> None:
        """Raise if a layer of the model can't be copied; stock layers are taken to be right."""
        for layer in graph_layers(self._model):
            tied = any(len(self._holders[id(v)]) > 1 for v in getattr(layer, "variables", ()))
            if tied or not is_stock(layer):
                self._copied(self._inner(layer))
        self._check_ties()

    def variables(self) -> dict[int, Any]:
        """Return the copy of each variable, by the `id` of the original."""
        return {key: target for key, (_, target) in self.pairs().items()}

    def pairs(self) -> dict[int, tuple[Any, Any]]:
        """Return each variable and its copy, by the `id` of the original."""
        pairs = [pair for each in self._copies.values() for pair in each.variables]
        return {**self._own, **{id(source): (source, target) for source, target in pairs}}

    def _inner(self, layer: keras.Layer) -> keras.Layer:
        within = wrapped_layer(layer) if self._bare else None
        return layer if within is None else within

    def _layer(self, layer: keras.Layer) -> keras.Layer:
        """Return what stands for `layer` in the copied graph."""
        if id(layer) not in self._in_graph:
            if is_nested(layer):
                result = self._model_copy(layer)
            else:
                result = self._put(layer, self._copied(self._inner(layer)))
            self._in_graph[id(layer)] = result
        return self._in_graph[id(layer)]

    def _copied(self, layer: keras.Layer) -> LayerCopy:
        if id(layer) in self._copies:
            return self._copies[id(layer)]
        if id(layer) in self._underway:
            raise KerasCompressError(
                "Layers may be parts of one another one way only, to be copied. Received: "
                f"{layer.name!r}, which holds a layer that holds it."
            )
        self._underway.add(id(layer))
        maker = self._maker_of(layer)
        if maker is None:
            copy = LayerCopy(layer, self._given_to(layer))
        else:
            copy = _Part(layer, self._copied(maker))
        self._underway.discard(id(layer))
        self._copies[id(layer)] = copy
        self._refuse_captured(copy)
        return copy

    def _given_to(self, layer: keras.Layer) -> dict[int, Any]:
        """Return the copies of those parts of `layer` that other layers of the graph have too."""
        given: dict[int, Any] = {}
        if not isinstance(layer, keras.Layer):
            return given
        for above, part in iter_layers(layer):
            if any(id(each) in given for each in above) or not self._is_shared(part, layer):
                continue
            if mentions(layer, part):
                given[id(part)] = self._shared(part)
        return given

    def _shared(self, part: object) -> keras.Layer:
        if is_nested(part):
            return self._layer(part)
        copied = self._copied(self._inner(part))
        if self._inner(part) is not part:
            self._put(part, copied)
        return copied.copy

    def _is_shared(self, part: object, layer: keras.Layer) -> bool:
        if id(part) in self._of_graph and self._of_graph[id(part)] is not layer:
            return True
        if self._inner(part) is not part:
            return True
        return len(self._holders.get(id(part), ())) > 1

    def _maker_of(self, part: object) -> Any:
        """Return the layer of the graph that makes `part` itself, or `None`."""
        for holder in self._holders.get(id(part), ()):
            holder = self._inner(holder)
            if holder is not part and not mentions(holder, part):
                return holder
        return None

    def _refuse_captured(self, copy: LayerCopy) -> None:
        """Raise if a function handed over reads weights of the model past Keras."""
        own = {id(v) for v in self._model.variables}
        for function in copy.references.values():
            if any(id(v) in own for v in captured_by(function)):
                raise KerasCompressError(
                    "A function in a layer must not read other layers' weights, for "
                    f"{_STANDS_ALONE}. Received: {copy.original.name!r} of type "
                    f"{type(copy.original).__name__}. Make it a layer that has the other one as "
                    "an argument of its constructor."
                )

    def _check_ties(self) -> None:
        copies: dict[int, tuple[Any, Any]] = {}
        originals: dict[int, Any] = {}
        for each in self._copies.values():
            for source, target in each.variables:
                _, other = copies.setdefault(id(source), (each.original, target))
                again = originals.setdefault(id(target), source)
                if other is not target or again is not source:
                    first = copies[id(source)][0]
                    raise KerasCompressError(
                        "Layers that share a weight must share it in a copy too. Received: "
                        f"{first.name!r} and {each.original.name!r}, which share {source.name!r} "
                        "in a way that their configurations don't tell. Give one of them the "
                        "other as an argument of its constructor, and write it into `get_config`."
                    )

    def _model_copy(self, model: keras.Model) -> keras.Model:
        kind: Any = type(model)
        if isinstance(model, keras.Sequential):
            entries = [*self._inputs(model), *(self._layer(layer) for layer in model.layers)]
            if kind is keras.Sequential:
                copy = keras.Sequential(entries, name=model.name)
            else:
                copy = kind.__new__(kind)
                keras.Sequential.__init__(copy, entries, name=model.name)
        else:
            # Neither compiled nor of a class of its own, which Keras would make anew.
            plain = keras.Model(model.input, model.output, name=model.name)
            copy = keras.models.clone_model(
                plain,
                input_tensors=self._inputs(model),
                clone_function=self._layer,
                call_function=self._call,
            )
            if kind is not type(plain):
                inputs, outputs = copy.input, copy.output
                copy = kind.__new__(kind)
                type(plain).__init__(copy, inputs, outputs, name=model.name)
        self._carry_attributes(model, copy)
        self._models.append((model, copy))
        return copy

    def _inputs(self, model: keras.Model) -> Any:
        # A Sequential model doesn't list its input layer; a functional one of the same graph does.
        layers = {
            id(layer.output): layer
            for layer in keras.Model(model.inputs, model.outputs).layers
            if isinstance(layer, keras.layers.InputLayer)
        }
        structure = model.inputs if isinstance(model, keras.Sequential) else model.input
        return keras.tree.map_structure(
            lambda x: keras.Input(
                batch_shape=x.shape,
                dtype=x.dtype,
                sparse=x.sparse,
                name=layers[id(x)].name,
                optional=layers[id(x)].optional,
            ),
            structure,
        )

    def _call(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Call a layer of the copy; what reads a weight of the model gets the copy's."""
        found = [x for x in keras.tree.flatten((args, kwargs)) if isinstance(x, keras.Variable)]
        if not found:
            return layer(*args, **kwargs)
        own = {id(v) for v in self._model.variables}
        copies = self.variables()
        for variable in found:
            if id(variable) in own and id(variable) not in copies:
                raise KerasCompressError(
                    f"A graph must call a layer before it reads its weights, for {_STANDS_ALONE}. "
                    f"Received: {layer.name!r}, which reads {variable.path!r}."
                )
        self.read_in_graph.update(id(copies[id(v)]) for v in found if id(v) in copies)
        args, kwargs = keras.tree.map_structure(lambda x: copies.get(id(x), x), (args, kwargs))
        return layer(*args, **kwargs)

    def _carry_attributes(self, model: keras.Model, copy: object) -> None:
        """Give `copy` the attributes that `model` has beyond those of a Keras model."""
        bare = keras.Sequential()
        bare.compile("sgd", "mse")
        keras_own = {*vars(bare), *vars(copy), "history"}
        for name, value in list(vars(model).items()):
            if name in keras_own:
                continue
            try:
                setattr(copy, name, self._attribute(value))
            except _ForeignError:
                # Private and of no kind that a model is made of: Keras' own book-keeping.
                if not name.startswith("_"):
                    setattr(copy, name, value)

    def _attribute(self, value: Tensor) -> Any:
        if isinstance(value, keras.Layer):
            if id(value) in self._in_graph or id(value) not in self._copies:
                return self._layer(value)
            return self._copies[id(value)].copy
        if isinstance(value, keras.metrics.Metric | keras.optimizers.Optimizer):
            with keras.saving.CustomObjectScope({type(value).__name__: type(value)}):
                return type(value).from_config(value.get_config())
        if isinstance(value, keras.Variable):
            if id(value) not in self.variables():
                copy = keras.Variable(
                    keras.ops.convert_to_numpy(value),
                    trainable=value.trainable,
                    dtype=value.dtype,
                    name=value.name,
                )
                self._own[id(value)] = (value, copy)
            return self.variables()[id(value)]
        if isinstance(value, list | tuple):
            return type(value)(self._attribute(item) for item in value)
        if isinstance(value, dict):
            return {key: self._attribute(item) for key, item in value.items()}
        plain = (bool, int, float, str, bytes)
        if value is None or isinstance(value, plain) or callable(value):
            return value
        raise _ForeignError


class _ForeignError(Exception):
    """An attribute of a kind that models aren't made of."""


class _Part(LayerCopy):
    """A layer of the graph whose copy is a part of another layer's copy."""

    def __init__(self, original: keras.Model, whole: LayerCopy) -> None:
        copy = whole.copy_of(original)
        if copy is None:
            raise KerasCompressError(
                "A part of a layer must be made by it, to be copied with it. Received: "
                f"{original.name!r}, which {whole.original.name!r} has but doesn't make. Write it "
                "into the `get_config` of the latter."
            )
        self.original, self.copy = original, copy
        self.references, self._given = {}, {}
        self.layers, self.variables = [], []
        self.complete()


def graph_layers(model: keras.Model) -> list[keras.Layer]:
    """Return what the graphs of `model` and of the models in it call, each once."""
    found: dict[int, Any] = {}
    for layer in _called_by(model):
        if is_nested(layer):
            found.update((id(each), each) for each in graph_layers(layer))
        elif not isinstance(layer, keras.layers.InputLayer):
            found[id(layer)] = layer
    return list(found.values())


def holders_of(model: keras.Model) -> dict[int, list[Any]]:
    """Return the layers of the graph that hold each variable and each part, by its `id`."""
    holders: dict[int, list[Any]] = {id(v): [] for v in model.variables}
    for layer in graph_layers(model):
        if isinstance(layer, keras.Layer):
            parts = [part for _, part in iter_layers(layer)]
            for thing in (*layer.variables, *parts):
                holders.setdefault(id(thing), []).append(layer)
    return holders


def captured_by(function: Any) -> list[keras.Layer]:
    """Return the variables that a function takes from around it."""
    function = getattr(function, "func", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    names = [function.__globals__.get(name) for name in code.co_names]
    bound = getattr(function, "__self__", None)
    found: list[Any] = []
    for thing in (*cells, *names, *(function.__defaults__ or ()), bound):
        if isinstance(thing, keras.Variable):
            found.append(thing)
        elif isinstance(thing, keras.Layer):
            found.extend(thing.variables)
    return found


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _nested(model: keras.Model) -> list[keras.Layer]:
    found = [layer for layer in model.layers if is_nested(layer)]
    return [*found, *(each for inner in found for each in _nested(inner))]


def _called_by(model: keras.Model) -> list[Any]:
    # Functions of `keras.ops` stand among the operations, but aren't layers.
    return list(getattr(model, "operations", model.layers))
