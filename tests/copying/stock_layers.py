"""Every stock layer of Keras in a model, and whether a copy computes what it computes."""

from __future__ import annotations

import inspect

import keras
import numpy as np
from keras import layers

from keras_compress.copying.graph_copy import GraphCopy

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
