"""Small nets on images, each with a trap of its own for who follows channels."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from tests.channel_pruning.net_catalogue import behind, image, net


@net
def batch_norm_flatten_dense():
    inputs = image()
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    x = layers.MaxPooling2D()(x)
    x = layers.BatchNormalization()(layers.Conv2D(12, 3, use_bias=False)(x))
    x = layers.Dense(20, activation="tanh")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x))


@net
def sequential_with_slopes_by_channel():
    return keras.Sequential(
        [
            image(),
            layers.Conv2D(8, 3),
            layers.PReLU(shared_axes=[1, 2]),
            layers.Flatten(),
            layers.Dense(7),
            layers.Dense(3),
        ]
    )


@net
def slopes_by_place():
    return keras.Sequential(
        [
            image(),
            layers.Conv2D(8, 3),
            layers.PReLU(),
            layers.Conv2D(4, 3),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3),
        ]
    )


@net
def residual():
    inputs = image()
    x = shortcut = layers.Conv2D(8, 3, padding="same")(inputs)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Add()([shortcut, layers.Conv2D(8, 3, padding="same")(x)])
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(5, 1)(x)))


@net
def squeeze_excite_by_reshape():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    s = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    s = layers.Conv2D(4, 1, activation="relu")(s)
    s = layers.Conv2D(8, 1, activation="sigmoid")(s)
    return behind(inputs, layers.Multiply()([x, s]))


@net
def squeeze_excite_by_operations():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    s = ops.mean(x, axis=(1, 2), keepdims=True)
    s = layers.Dense(4, activation="relu")(s)
    return behind(inputs, x * layers.Dense(8, activation="hard_sigmoid")(s))


@net
def squeeze_excite_by_expanded_axes():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    s = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return behind(inputs, x * s[:, None, None, :])


@net
def one_map_for_all_channels():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    return behind(inputs, layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid")(x)]))


@net
def concatenation_with_itself():
    inputs = image()
    a, b = layers.Conv2D(8, 3)(inputs), layers.Conv2D(6, 3)(inputs)
    x = layers.BatchNormalization()(layers.Concatenate()([a, b, a]))
    return behind(inputs, layers.DepthwiseConv2D(3, depth_multiplier=2)(x))


@net
def dense_block():
    inputs = image()
    x = layers.Conv2D(6, 3, padding="same")(inputs)
    for _ in range(2):
        y = layers.Activation("relu")(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(y)])
    return behind(inputs, x)


@net
def grouped_convolutions():
    inputs = image(14, 14, 3)
    x = layers.Conv2D(8, 3)(inputs)
    x = layers.Conv2D(16, 3, groups=4)(x)
    x = layers.Conv2D(16, 3, groups=16)(x)
    return behind(inputs, layers.Conv2D(32, 3, groups=16)(x))


@net
def separable_and_transposed():
    inputs = image()
    x = layers.SeparableConv2D(10, 3, depth_multiplier=2)(layers.Conv2D(8, 3)(inputs))
    x = layers.UpSampling2D()(layers.Conv2DTranspose(6, 3, strides=2)(x))
    return behind(inputs, layers.Cropping2D(2)(layers.ZeroPadding2D(1)(x)))


@net
def layer_called_twice_in_a_row():
    inputs = image()
    convolution, norm = layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()
    x = layers.Conv2D(7, 3)(norm(convolution(norm(convolution(inputs)))))
    return behind(inputs, x)


@net
def layers_shared_by_two_inputs():
    one, other = image(), image()
    first, second = layers.Conv2D(8, 3, padding="same"), layers.Conv2D(6, 3)
    both = [layers.Flatten()(second(first(x))) for x in (one, other)]
    return keras.Model([one, other], layers.Dense(2)(layers.Concatenate()(both)))


@net
def nested_models_called_twice():
    within = image(12, 12, 8)
    y = layers.Conv2D(6, 3, padding="same")(within)
    y = layers.Add()([within, layers.Conv2D(8, 3, padding="same")(y)])
    block = keras.Model(within, y, name="block")
    inputs = image()
    x = block(block(layers.Conv2D(8, 3, padding="same")(inputs)))
    return behind(inputs, keras.Sequential([layers.Conv2D(7, 3), layers.ReLU()])(x))


@net
def nested_model_of_dicts():
    within = {"p": keras.Input((12, 12, 8), name="p"), "q": keras.Input((12, 12, 4), name="q")}
    made = {
        "r": layers.Concatenate()([within["p"], within["q"]]),
        "s": layers.Conv2D(5, 1)(within["q"]),
    }
    block = keras.Model(within, made)
    inputs = image()
    found = block(
        {
            "p": layers.Conv2D(8, 3, padding="same")(inputs),
            "q": layers.Conv2D(4, 3, padding="same")(inputs),
        }
    )
    return keras.Model(inputs, [layers.Conv2D(3, 1)(found["r"]), layers.Conv2D(2, 1)(found["s"])])


@net
def shortcut_padded_by_operations():
    inputs = image()
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    y = layers.Conv2D(16, 3, strides=2, padding="same")(x)
    shortcut = ops.pad(x[:, ::2, ::2, :], [[0, 0], [0, 0], [0, 0], [4, 4]])
    return behind(inputs, layers.Add()([y, shortcut]))


@net
def shortcut_padded_by_layers():
    inputs = image()
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    y = layers.Conv2D(16, 3, strides=2, padding="same")(x)
    shortcut = layers.MaxPooling2D(1, strides=2)(x)
    # "Channels first" makes the last axis a side of the image, which can be padded.
    shortcut = layers.ZeroPadding2D(((0, 0), (4, 4)), data_format="channels_first")(shortcut)
    return behind(inputs, layers.Add()([y, shortcut]))


@net
def shuffle_by_layers():
    inputs = image()
    x = layers.Conv2D(12, 3)(inputs)
    a, b = ops.split(x, 2, axis=-1)
    x = layers.Concatenate()([a, layers.Conv2D(6, 3, padding="same")(b)])
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((10, 10, 2, 6))(x))
    return behind(inputs, layers.Reshape((10, 10, 12))(x))


@net
def shuffle_by_operations():
    inputs = image()
    x = layers.Conv2D(12, 3)(inputs)
    b = layers.Conv2D(6, 3, padding="same")(x[..., 6:])
    x = ops.concatenate([x[..., :6], b], axis=-1)
    x = ops.transpose(ops.reshape(x, (-1, 10, 10, 2, 6)), (0, 1, 2, 4, 3))
    return behind(inputs, ops.reshape(x, (-1, 10, 10, 12)))


@net
def shuffle_by_taking():
    inputs = image()
    x = ops.take(layers.Conv2D(8, 3)(inputs), [0, 4, 1, 5, 2, 6, 3, 7], axis=-1)
    x = layers.Conv2D(6, 3)(x)
    return behind(inputs, ops.take(x, np.array([5, 4, 3, 0]), axis=3))


@net
def hard_swish_by_operations():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    x = x * layers.ReLU(6.0)(x + 3.0) * (1 / 6)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x)))


@net
def constants_by_channel():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs) * np.arange(1, 9, dtype="float32") + np.float32(2)
    x = ops.multiply(ops.arange(8, dtype="float32")[None] + 1.0, x)
    return behind(inputs, layers.Rescaling([1.0 + i for i in range(8)], 0.5)(x))


@net
def choice_by_a_comparison():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    return behind(inputs, ops.where(x > 0.1, x, 0.1 * x))


@net
def layer_normalization():
    inputs = image()
    x = layers.LayerNormalization()(layers.Conv2D(8, 3)(inputs))
    x = layers.Dense(8)(layers.Dense(16, activation="gelu")(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@net
def group_normalization():
    inputs = image()
    x = layers.GroupNormalization(4)(layers.Conv2D(16, 3)(inputs))
    return behind(inputs, layers.GroupNormalization(-1)(layers.Conv2D(6, 3)(x)))


@net
def softmax_within():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    gate = layers.Dense(8, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    return behind(inputs, layers.Conv2D(7, 3)(x))


@net
def channels_first_by_permuting():
    inputs = image()
    x = layers.Permute((3, 1, 2))(layers.Conv2D(8, 3)(inputs))
    x = layers.Flatten(data_format="channels_first")(layers.BatchNormalization(axis=1)(x))
    return keras.Model(inputs, layers.Dense(4)(x))


@net
def axes_moved_by_operations():
    inputs = image()
    x = ops.moveaxis(layers.Conv2D(8, 3)(inputs), -1, 1)
    x = ops.flip(ops.swapaxes(ops.swapaxes(x, 1, 3), 3, 1), axis=1)
    return behind(inputs, layers.Permute((2, 3, 1))(x))


@net
def image_to_sequence():
    inputs = image()
    x = layers.Reshape((100, 8))(layers.Conv2D(8, 3)(inputs))
    x = layers.Dense(5)(layers.Conv1D(6, 3)(x))
    return keras.Model(inputs, layers.LSTM(4)(x))


@net
def vector_to_image():
    inputs = image(10)
    x = layers.Reshape((4, 4, 8))(layers.Dense(128)(inputs))
    return behind(inputs, layers.Conv2DTranspose(6, 3, strides=2)(x))


@net
def stacked_and_squeezed():
    inputs = image()
    x = ops.stack([layers.Conv2D(8, 3)(inputs), layers.Conv2D(8, 3)(inputs)], axis=1)
    x = ops.squeeze(layers.Conv3D(4, (2, 3, 3))(x), 1)
    return behind(inputs, layers.Reshape((8, 8, 4))(ops.expand_dims(x, -1)))


@net
def unknown_sides():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, activation="relu")(layers.Conv2D(8, 3)(inputs))
    return behind(inputs, layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(x)))


@net
def several_outputs():
    inputs = image()
    x = layers.Conv2D(8, 3)(inputs)
    y = layers.Conv2D(2, 1)(layers.Conv2D(6, 3)(x))
    outputs = {"a": layers.Conv2D(3, 1)(x), "b": layers.GlobalAveragePooling2D()(y)}
    return keras.Model(inputs, outputs)
