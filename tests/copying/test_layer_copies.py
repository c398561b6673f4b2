"""A copy of a layer computes what the layer computes, for every stock layer of Keras."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from keras_compress import KerasCompressError
from keras_compress.copying.graph_copy import GraphCopy
from keras_compress.copying.layer_copy import copy_layer
from keras_compress.engine.cloning import copy_model
from tests.training import tensorflow_only

VECTOR, SEQUENCE, IMAGE, VOLUME = (6,), (5, 6), (8, 8, 3), (4, 4, 4, 3)
TEXT = [["to be or not"], ["to be is to do"], ["do be do be do"]]

KINDS_OF_POOLING = (
    "AveragePooling",
    "MaxPooling",
    "AdaptiveAveragePooling",
    "AdaptiveMaxPooling",
)

#: What each layer needs to be made; of those not listed, nothing.
MADE_WITH = {
    **{f"{kind}{rank}D": [2] for kind in KINDS_OF_POOLING for rank in (1, 2, 3)},
    "ReversibleEmbedding": [9, 4],
    "Activation": ["tanh"],
    "CategoryEncoding": [6],
    "CenterCrop": [5, 5],
    "Conv1D": [4, 3],
    "Conv1DTranspose": [4, 3],
    "Conv2D": [4, 3],
    "Conv2DTranspose": [4, 3],
    "Conv3D": [4, 2],
    "Conv3DTranspose": [4, 2],
    "ConvLSTM1D": [3, 2],
    "ConvLSTM2D": [3, 2],
    "ConvLSTM3D": [3, 2],
    "Cropping1D": [1],
    "Dense": [4],
    "DepthwiseConv1D": [3],
    "DepthwiseConv2D": [3],
    "Dot": [-1],
    "Dropout": [0.4],
    "EinsumDense": ["ab,bc->ac", 4],
    "Embedding": [9, 4],
    "GRU": [3],
    "GaussianDropout": [0.4],
    "GaussianNoise": [0.4],
    "AlphaDropout": [0.4],
    "GroupNormalization": [3],
    "GroupedQueryAttention": [4, 2, 2],
    "Hashing": [7],
    "LSTM": [3],
    "MaxNumBoundingBoxes": [3],
    "MultiHeadAttention": [2, 3],
    "Permute": [(2, 1)],
    "RandomCrop": [6, 6],
    "RandomErasing": [0.5],
    "RandomRotation": [0.2],
    "RandomTranslation": [0.2, 0.2],
    "RandomZoom": [0.2],
    "RandomBrightness": [0.2],
    "RandomContrast": [0.2],
    "RandomColorDegeneration": [0.3],
    "RandomHue": [0.3],
    "RandomPosterization": [3],
    "RandomSaturation": [0.3],
    "RandomSharpness": [0.3],
    "RepeatVector": [3],
    "Rescaling": [0.5, 0.1],
    "Reshape": [(3, 2)],
    "Resizing": [5, 5],
    "SeparableConv1D": [4, 3],
    "SeparableConv2D": [4, 3],
    "SimpleRNN": [3],
    "SpatialDropout1D": [0.4],
    "SpatialDropout2D": [0.4],
    "SpatialDropout3D": [0.4],
    "SpectralNormalization": [layers.Dense(4)],
    "TimeDistributed": [layers.Dense(4)],
    "Bidirectional": [layers.LSTM(3)],
    "RNN": [[layers.GRUCell(3), layers.LSTMCell(4)]],
    "Discretization": [[-0.5, 0.0, 0.5]],
    "STFTSpectrogram": [],
}
CALLED_TWICE = {
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
}
ATTENTIONS = {"AdditiveAttention", "Attention", "GroupedQueryAttention", "MultiHeadAttention"}
NOT_LAYERS_OF_A_GRAPH = {
    "Input": "a function",
    "InputLayer": "copied with its model",
    "InputSpec": "no layer",
    "Layer": "abstract",
    "Wrapper": "abstract",
    "Lambda": "see below",
    "StackedRNNCells": "a cell; see RNN",
    "GRUCell": "a cell; see RNN",
    "LSTMCell": "a cell; see RNN",
    "SimpleRNNCell": "a cell; see RNN",
    "TFSMLayer": "reads a file",
    "TorchModuleWrapper": "PyTorch's alone",
    "JaxLayer": "holds a function of JAX; see below",
    "FlaxLayer": "JAX's alone",
    "MaxNumBoundingBoxes": "takes dictionaries of boxes",
    "Pipeline": "see below",
    "TextVectorization": "adapted below",
    "StringLookup": "adapted below",
    "IntegerLookup": "adapted below",
    "HashedCrossing": "takes pairs; see below",
    "Equalization": "Keras can't call it on an Input",
    "Normalization": "adapted below",
}
DRAW_UNSEEDED = {"AugMix"}
#: Computed by TensorFlow under each back end.
HASHING = {"Hashing"}
RECURRENT = {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed"}
INTEGERS = {"Embedding", "ReversibleEmbedding", "CategoryEncoding", "Hashing"}

#: By the names of the classes, for several have a second one.
STOCK = {
    kind.__name__: kind
    for kind in vars(layers).values()
    if inspect.isclass(kind) and kind.__name__ not in NOT_LAYERS_OF_A_GRAPH
}


def shape_for(name: str) -> tuple[int, ...]:
    if name in RECURRENT or name in ATTENTIONS or name in {"Permute", "Cropping1D"}:
        return SEQUENCE
    if name.startswith("ConvLSTM"):
        return (3, *VOLUME[: int(name[-2])], 3)
    for rank, shape in (("1D", SEQUENCE), ("2D", IMAGE), ("3D", VOLUME)):
        if rank in name:
            return shape
    if name in {"STFTSpectrogram", "MelSpectrogram"}:
        return (2048, 1) if name == "STFTSpectrogram" else (2048,)
    images = ("Random", "CenterCrop", "Resizing", "Rand", "AutoContrast", "CutMix", "MixUp")
    images += ("ContrastLimited", "AugMix", "Solarization", "GroupNormalization")
    return IMAGE if name.startswith(images) else VECTOR


def values(shape: tuple[int, ...], integers: bool = False, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if integers:
        return generator.integers(0, 6, (4, *shape))
    return generator.uniform(-1, 1, (4, *shape)).astype("float32")


def model_of(name: str) -> tuple[keras.Model, list[np.ndarray]]:
    layer = STOCK[name](*MADE_WITH.get(name, []))
    shape, integers = shape_for(name), name in INTEGERS
    inputs = [keras.Input(shape, dtype="int32" if integers else "float32")]
    if name in CALLED_TWICE:
        inputs = [keras.Input(shape), keras.Input(shape)]
        outputs = layer(inputs)
    elif name in {"AdditiveAttention", "Attention"}:
        outputs = layer([inputs[0], inputs[0]])
    elif name in ATTENTIONS:
        outputs = layer(inputs[0], inputs[0])
    else:
        outputs = layer(inputs[0])
    return keras.Model(inputs, outputs), [values(shape, integers, i) for i in range(len(inputs))]


def shake(model: keras.Model) -> None:
    """Move all weights from where their initializers put them."""
    generator = np.random.default_rng(7)
    for variable in model.variables:
        if keras.backend.is_float_dtype(variable.dtype):
            variable.assign(generator.uniform(0.1, 0.9, variable.shape))


def same(model: keras.Model, inputs, training: bool = False) -> keras.Model:
    copy = GraphCopy(model, lambda _, copied: copied.copy).copy()
    for each in {False, training}:
        ours, theirs = (m(inputs, training=each) for m in (model, copy))
        flat = zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True)
        for one, other in flat:
            one, other = keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
            np.testing.assert_array_equal(one, other)
    mine, its = ([layer.name for layer in m.layers] for m in (model, copy))
    assert mine == its
    assert not {id(v) for v in model.variables} & {id(v) for v in copy.variables}
    return copy


def _marks(name: str) -> list[pytest.MarkDecorator]:
    # Without weights there is nothing of the back end's to copy but seeds, which regularizing and
    # preprocessing layers have in common: those that augment images take long to compile.
    kind = STOCK[name].__module__.split(".")[-2]
    kinds = {"pooling", "merging", "reshaping", "image_preprocessing", "preprocessing"}
    marks = [pytest.mark.backend_independent] if kind in kinds else []
    return [*marks, tensorflow_only] if name in HASHING else marks


@pytest.mark.parametrize("name", [pytest.param(n, marks=_marks(n)) for n in sorted(STOCK)])
def test_stock_layers(name):
    model, inputs = model_of(name)
    shake(model)
    # In training too: what is drawn at random comes of a seed that is copied.
    drawn = keras.backend.backend() != "torch" and name not in DRAW_UNSEEDED
    same(model, inputs if len(inputs) > 1 else inputs[0], training=drawn)


def adapted_normalization(**arguments):
    layer = layers.Normalization(**arguments)
    layer.adapt(values(SEQUENCE) * 5 + 2)
    return layer


@pytest.mark.parametrize(
    "make",
    [
        adapted_normalization,
        lambda: adapted_normalization(invert=True),
        lambda: adapted_normalization(axis=(1, 2)),
        lambda: adapted_normalization(axis=None),
        lambda: layers.Normalization(mean=[1.0] * 6, variance=[4.0] * 6),
        lambda: layers.Normalization(mean=2.0, variance=9.0, axis=None, invert=True),
        lambda: keras.Sequential([keras.Input(SEQUENCE), adapted_normalization()]),
        lambda: layers.TimeDistributed(layers.Normalization(mean=1.0, variance=4.0, axis=None)),
        lambda: layers.Pipeline([layers.Rescaling(2.0), layers.Rescaling(0.5, 1.0)]),
    ],
    ids=["plain", "inverted", "axes", "scalar", "given", "given_once", "nested", "in_time", "line"],
)
def test_adapted_layers_of_numbers(make):
    inputs = keras.Input(SEQUENCE)
    model = keras.Model(inputs, layers.Dense(3)(make()(inputs)))
    copy = same(model, values(SEQUENCE))
    # Another adaptation of the original doesn't reach the copy.
    before = keras.ops.convert_to_numpy(copy(values(SEQUENCE)))
    shake(model)
    np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(copy(values(SEQUENCE))))


@tensorflow_only
def test_discretization_by_what_it_saw():
    layer = layers.Discretization(num_bins=4, output_mode="one_hot")
    layer.adapt(values((1,)) * 9)
    inputs = keras.Input((1,))
    same(keras.Model(inputs, layers.Dense(2)(layer(inputs))), values((1,)) * 9)


@tensorflow_only
def test_pairs_that_are_crossed_and_hashed():
    inputs = [keras.Input((1,), dtype="int32") for _ in range(2)]
    crossed = layers.HashedCrossing(7, output_mode="one_hot")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(crossed))
    same(model, [values((1,), integers=True, seed=i) for i in range(2)])


LOOKUPS = {
    "int": {},
    "multi_hot": {"output_mode": "multi_hot"},
    "count": {"output_mode": "count", "pad_to_max_tokens": True, "max_tokens": 12},
    "tf_idf": {"output_mode": "tf_idf"},
    "several_unknown": {"num_oov_indices": 3},
}


def on_words(layer, shape=(1,), dtype="string"):
    inputs = keras.Input(shape, dtype=dtype)
    x = layer(inputs)
    if len(x.shape) == 2 and x.dtype.startswith("int"):
        x = layers.Flatten()(layers.Embedding(20, 3)(x))
    elif len(x.shape) == 3 or x.dtype.startswith("int"):
        x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 3)(x))
    return keras.Model(inputs, layers.Dense(2)(x))


@tensorflow_only
@pytest.mark.parametrize("mode", LOOKUPS)
def test_words_that_a_layer_learned(mode):
    import tensorflow as tf

    words = np.array([["to"], ["be"], ["or"], ["a\nb"], ["c\u2028 d"], [""], ["to"]])
    lookup = layers.StringLookup(**LOOKUPS[mode])
    lookup.adapt(words)
    same(on_words(lookup), tf.constant([["to"], ["a\nb"], ["c\u2028 d"], ["never"], ["be"]]))


@tensorflow_only
@pytest.mark.parametrize("mode", LOOKUPS)
def test_numbers_that_a_layer_learned(mode):
    lookup = layers.IntegerLookup(**LOOKUPS[mode])
    lookup.adapt(np.array([[11], [22], [22], [33], [-4]]))
    same(on_words(lookup, dtype="int64"), np.array([[33], [11], [99], [-4]]))


@tensorflow_only
@pytest.mark.parametrize("mode", ["int", "multi_hot", "tf_idf"])
def test_texts(mode):
    import tensorflow as tf

    length = {"output_sequence_length": 5} if mode == "int" else {}
    layer = layers.TextVectorization(output_mode=mode, standardize=lower, **length)
    layer.adapt(tf.constant(TEXT))
    same(on_words(layer, shape=()), tf.constant(["to do", "BE not never", ""]))


def lower(text):
    import tensorflow as tf

    return tf.strings.lower(text)


@tensorflow_only
def test_a_vocabulary_given_at_first():
    import tensorflow as tf

    words = layers.StringLookup(
        vocabulary=["b", "a"], idf_weights=[0.5, 0.25], output_mode="tf_idf"
    )
    same(on_words(words), tf.constant([["a"], ["b"], ["c"]]))
    inverse = layers.StringLookup(vocabulary=["b", "a"], invert=True)
    assert copy_layer(inverse).get_vocabulary() == inverse.get_vocabulary()


@tensorflow_only
def test_tabular_features():
    space = keras.utils.FeatureSpace(
        features={
            "age": "float_normalized",
            "size": "float_discretized",
            "town": "string_categorical",
            "kind": keras.utils.FeatureSpace.integer_categorical(),
        },
        crosses=[("town", "kind")],
        crossing_dim=8,
    )
    import tensorflow as tf

    table = {
        "age": np.array([20.0, 40.0, 70.0, 33.0], "float32"),
        "size": np.array([1.0, 5.0, 2.0, 9.0], "float32"),
        "town": np.array(["a", "b", "b", "c"]),
        "kind": np.array([1, 2, 3, 3]),
    }
    space.adapt(tf.data.Dataset.from_tensor_slices(table))
    encoded = space.get_encoded_features()
    model = keras.Model(space.get_inputs(), layers.Dense(2)(encoded))
    same(model, {key: tf.constant(value)[:, None] for key, value in table.items()})


def swishlike(x):
    return x * keras.ops.sigmoid(1.5 * x)


class Halved(keras.initializers.Initializer):
    """An initializer that nobody registered."""

    def __call__(self, shape, dtype=None):
        return 0.5 * keras.ops.ones(shape, dtype=dtype)


class Scale(layers.Layer):
    """A layer that nobody registered, with a number that may be changed later."""

    def __init__(self, by=2.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, x):
        return self.by * x


class Composite(layers.Layer):
    """A layer that only a call can build."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(4), layers.Dense(3)
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.second(self.norm(self.first(x)))


FACTOR = 3.0

WITH_FUNCTIONS = {
    "lambda": lambda: layers.Lambda(lambda x: FACTOR * x),
    "function": lambda: layers.Lambda(swishlike, output_shape=VECTOR, mask=None),
    "arguments": lambda: layers.Lambda(lambda x, by: x * by, arguments={"by": np.arange(6.0)}),
    "activation": lambda: layers.Dense(6, activation=swishlike),
    "lambda_activation": lambda: layers.Dense(6, activation=lambda x: x * x),
    "initializer": lambda: layers.Dense(6, kernel_initializer=Halved()),
    "regularizer": lambda: layers.Dense(6, kernel_regularizer=keras.ops.sum),
    "own_class": lambda: Scale(5.0),
    "composite": Composite,
}


@pytest.mark.parametrize("name", WITH_FUNCTIONS)
def test_functions_and_classes_that_are_not_registered(name):
    inputs = keras.Input(VECTOR)
    model = keras.Model(inputs, layers.Dense(2)(WITH_FUNCTIONS[name]()(inputs)))
    shake(model)
    same(model, values(VECTOR), training=True)


def test_attributes_changed_since():
    scale = Scale()
    scale.by = 7.0
    inputs = keras.Input(VECTOR)
    same(keras.Model(inputs, layers.Dense(2)(scale(inputs))), values(VECTOR))
    convolution = layers.Conv1D(3, 2)
    convolution.supports_masking = True
    assert copy_layer(convolution).supports_masking


@pytest.mark.backend_independent
@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers(mode):
    inputs = keras.Input((8,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.EinsumDense("ab,bc->ac", 4)(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    shake(model)
    model.quantize(mode)
    copy = same(model, values((8,)))
    ours, theirs = ([layer.dtype_policy.name for layer in m.layers] for m in (model, copy))
    assert ours == theirs


@pytest.mark.parametrize("quantized", [False, True])
def test_layers_with_lora(quantized):
    inputs = keras.Input((3,), dtype="int32")
    x = layers.Embedding(9, 8)(inputs)
    x = layers.Flatten()(layers.Conv1D(4, 2)(x))
    model = keras.Model(inputs, layers.Dense(6)(x))
    for layer in (model.layers[1], model.layers[-1], model.layers[2]):
        layer.enable_lora(2)
    shake(model)
    if quantized:
        model.layers[-1].quantize("int8")
    copy = same(model, values((3,), integers=True))
    # What is trained from here on is the same too, not merged into the kernel.
    numbers = [(v.name, v.trainable, np.array(v)) for v in model.layers[-1].variables]
    for name, trainable, value in numbers:
        (other,) = (v for v in copy.layers[-1].variables if v.name == name)
        assert other.trainable is trainable
        np.testing.assert_array_equal(np.array(other), value)


def test_precision_of_each_layer():
    inputs = keras.Input((8,))
    x = layers.Dense(6, dtype="mixed_float16")(inputs)
    x = layers.Dense(5, dtype="bfloat16")(x)
    model = keras.Model(inputs, layers.Dense(2, dtype="float32")(x))
    copy = same(model, values((8,)))
    assert [v.dtype for v in copy.variables] == [v.dtype for v in model.variables]


def test_losses_that_layers_add():
    inputs = keras.Input(VECTOR)
    x = layers.ActivityRegularization(l2=0.1)(layers.Dense(3, activity_regularizer="l1")(inputs))
    model = keras.Model(inputs, layers.Dense(2, kernel_regularizer="l2")(x))
    model.compile("sgd", "mse")
    copy = copy_model(model)
    x, y = values(VECTOR), values((2,))
    assert copy.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0) > 0.1


PARTS = {
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Dense(6)),
    "RNN": lambda: layers.RNN([layers.GRUCell(3), layers.LSTMCell(4)], return_sequences=True),
    "Composite": Composite,
    "Sequential": lambda: keras.Sequential([layers.Dense(5), layers.Dense(3)]),
}


def parts_of(layer):
    from keras_compress.layers import iter_layers

    return [layer, *(part for _, part in iter_layers(layer))]


@pytest.mark.parametrize("name", [*PARTS, "MultiHeadAttention"])
def test_frozen_parts_stay_frozen(name):
    inputs = keras.Input(SEQUENCE)
    if name in PARTS:
        layer = PARTS[name]()
        outputs = layer(inputs)
    else:
        layer = layers.MultiHeadAttention(2, 3)
        outputs = layer(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(outputs))
    parts = [part for part in parts_of(layer) if part.variables]
    for frozen in ([parts[-1]], [parts[0]], parts[1:2]):
        layer.trainable = True
        for part in frozen:
            part.trainable = False
        copy = same(model, values(SEQUENCE))
        ours, theirs = parts_of(model), parts_of(copy)
        assert [p.trainable for p in ours] == [p.trainable for p in theirs]
        ours, theirs = ([v.trainable for v in m.variables] for m in (model, copy))
        assert ours == theirs
        assert len(model.trainable_variables) == len(copy.trainable_variables)


class Untold(layers.Layer):
    """A layer whose configuration doesn't say how it was made."""

    def __init__(self, table, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def call(self, x):
        return x * self.table.by


class Table:
    by = 2.0


def test_a_layer_that_cannot_be_copied_is_named():
    with pytest.raises(KerasCompressError, match=r"'odd' of type Untold.*get_config"):
        copy_layer(Untold(Table(), name="odd"))


@keras.saving.register_keras_serializable(package="keras_compress_tests")
class Nameless(keras.layers.Layer):
    """A layer that gives its weight no name, so that Keras numbers it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="random_normal")

    def call(self, x):
        return x * self.scale


def test_weights_without_a_name():
    inputs = keras.Input(VECTOR)
    model = keras.Model(inputs, Nameless()(Nameless()(inputs)))
    x = np.random.default_rng(0).normal(size=(3, *VECTOR)).astype("float32")
    copy = copy_model(model)
    expected, found = (keras.ops.convert_to_numpy(m(x)) for m in (model, copy))
    assert np.array_equal(expected, found)
