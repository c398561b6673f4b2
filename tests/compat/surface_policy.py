"""Models that `PruneForLatencyOnXNNPack` takes and refuses."""

from __future__ import annotations


def calls(keras, sparsity, _):
    layers = keras.layers
    policy = sparsity.PruneForLatencyOnXNNPack

    def start(x, **arguments):
        arguments = {"kernel_size": 3, "strides": 2, "padding": "valid", **arguments}
        return layers.Conv2D(8, name="first", **arguments)(layers.ZeroPadding2D(1)(x))

    def net(*between, begin=start, keepdims=True, end=True, more=()):
        x = given = keras.Input((16, 16, 3))
        x = begin(x)
        for layer in between:
            x = layer(x)
        if end:
            x = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
        for layer in more:
            x = layer(x)
        return keras.Model(given, x)

    def judged(model):
        wrapped = sparsity.prune_low_magnitude(model, pruning_policy=policy())
        # Operations are layers in Keras 2 alone.
        kinds = [type(each).__name__ for each in wrapped.layers]
        return [kind == "PruneLowMagnitude" for kind in kinds if kind != "TFOpLambda"]

    def one(n=8, **arguments):
        return layers.Conv2D(n, 1, **arguments)

    def pads(size):
        return layers.ZeroPadding2D(size)

    between = {
        "1x1": [one()],
        "1x1 of stride 2": [one(strides=2)],
        "3x3": [layers.Conv2D(8, 3)],
        "in groups": [one(groups=2)],
        "ReLU": [one(), layers.ReLU()],
        "LeakyReLU": [one(), layers.LeakyReLU()],
        "ELU": [one(), layers.ELU()],
        "PReLU": [one(), layers.PReLU()],
        "Softmax": [one(), layers.Softmax()],
        "Dropout": [one(), layers.Dropout(0.5)],
        "BatchNormalization": [one(), layers.BatchNormalization()],
        "BatchNormalization of another axis": [one(), layers.BatchNormalization(axis=1)],
        "LayerNormalization": [one(), layers.LayerNormalization()],
        "UpSampling": [one(), layers.UpSampling2D()],
        "bilinear UpSampling": [one(), layers.UpSampling2D(interpolation="bilinear")],
        "MaxPooling": [one(), layers.MaxPooling2D()],
        "Flatten and back": [one(), layers.Flatten(), layers.Reshape((7, 7, 64))],
        "depthwise 3x3 same": [layers.DepthwiseConv2D(3, padding="same"), one()],
        "depthwise 3x3 same of stride 2": [layers.DepthwiseConv2D(3, 2, padding="same"), one()],
        "depthwise 3x3 valid": [layers.DepthwiseConv2D(3), one()],
        "depthwise 3x3 padded": [pads(1), layers.DepthwiseConv2D(3), one()],
        "depthwise 3x3 padded of stride 2": [pads(1), layers.DepthwiseConv2D(3, 2), one()],
        "depthwise 3x3 padded by 2": [pads(2), layers.DepthwiseConv2D(3), one()],
        "depthwise 5x5 same": [layers.DepthwiseConv2D(5, padding="same"), one()],
        "depthwise 5x5 padded": [pads(2), layers.DepthwiseConv2D(5), one()],
        "depthwise 5x5 padded of stride 2": [pads(2), layers.DepthwiseConv2D(5, 2), one()],
        "depthwise 5x5 padded by 1": [pads(1), layers.DepthwiseConv2D(5), one()],
        "depthwise 7x7": [layers.DepthwiseConv2D(7, padding="same"), one()],
        "depthwise of two": [layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), one()],
        "dilated": [layers.DepthwiseConv2D(3, padding="same", dilation_rate=2), one()],
        "separable": [layers.SeparableConv2D(8, 3)],
        "transposed": [layers.Conv2DTranspose(8, 1)],
        "plus one": [one(), lambda x: x + 1.0],
        "less one": [one(), lambda x: x - 1.0],
        "doubled": [one(), lambda x: x * 2.0],
        "halved": [one(), lambda x: x / 2.0],
        "residual": [one(), lambda x: layers.Add()([x, layers.Conv2D(8, 1)(x)])],
        "gated": [one(), lambda x: layers.Multiply()([x, layers.Conv2D(8, 1)(x)])],
        "averaged": [one(), lambda x: layers.Average()([x, layers.Conv2D(8, 1)(x)])],
        "nested Sequential": [keras.Sequential([layers.Conv2D(8, 1), layers.ReLU()])],
        "nested Sequential of 3x3": [keras.Sequential([layers.Conv2D(8, 3)])],
        "pruned before": [sparsity.prune_low_magnitude(one())],
    }
    for name in ("relu", "relu6", "elu", "sigmoid", "tanh", "softmax", "gelu", "swish", "linear"):
        between[f"Activation {name}"] = [one(), name]

    def made(parts):
        return [layers.Activation(each) if isinstance(each, str) else each for each in parts]

    found = {name: lambda parts=parts: judged(net(*made(parts))) for name, parts in between.items()}

    def nested_functional():
        x = keras.Input((7, 7, 8))
        return net(keras.Model(x, layers.Conv2D(8, 1)(x)))

    def two_inputs(both):
        first, second = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
        rest = layers.Conv2D(8, 3, strides=2)
        second_way = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(second))
        x = layers.Add()([start(first), second_way if both else rest(pads(1)(second))])
        return keras.Model([first, second], layers.GlobalAveragePooling2D(keepdims=True)(one()(x)))

    def other_way():
        first, second = keras.Input((16, 16, 3)), keras.Input((8, 8, 8))
        x = layers.Add()([one()(start(first)), second])
        return keras.Model([first, second], layers.GlobalAveragePooling2D(keepdims=True)(x))

    def two_outputs(both):
        given = keras.Input((16, 16, 3))
        x = one()(start(given))
        top = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return keras.Model(given, [top, layers.GlobalAveragePooling2D()(x) if both else x])

    def reused():
        again = one()
        return net(again, layers.ReLU(), again)

    def subclassed():
        class Own(keras.Model):
            def call(self, x):
                return x

        return Own()

    def allowed(layer):
        return policy().allow_pruning(layer)

    whole = {
        "nested functional": nested_functional,
        "pooling without kept dimensions": lambda: net(one(), keepdims=False),
        "pooling, then dense": lambda: net(one(), keepdims=False, more=[layers.Dense(4)]),
        "kept dimensions, then 1x1": lambda: net(one(), more=[one()]),
        "no end": lambda: net(one(), end=False),
        "no padding before": lambda: net(one(), begin=lambda x: layers.Conv2D(8, 3, strides=2)(x)),
        "start padded same": lambda: net(one(), begin=lambda x: start(x, padding="same")),
        "start of stride 1": lambda: net(one(), begin=lambda x: start(x, strides=1)),
        "start of 5x5": lambda: net(one(), begin=lambda x: start(x, kernel_size=5)),
        "start on more channels": lambda: net(
            one(), begin=lambda x: start(layers.Concatenate()([x, x]))
        ),
        "start behind a layer": lambda: net(one(), begin=lambda x: start(layers.ReLU()(x))),
        "two inputs": lambda: two_inputs(True),
        "two inputs of a kind": lambda: two_inputs(False),
        "an input that joins late": other_way,
        "two outputs": lambda: two_outputs(True),
        "an output before the end": lambda: two_outputs(False),
        "reused": reused,
        "cloned": lambda: keras.models.clone_model(net(one(), layers.ReLU())),
        "cloned, layers shared": lambda: keras.models.clone_model(
            net(one(), layers.ReLU()), clone_function=lambda layer: layer
        ),
        "unbuilt": lambda: keras.Sequential([one()]),
        "subclassed": subclassed,
        "Sequential": lambda: keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                pads(1),
                layers.Conv2D(8, 3, strides=2),
                one(),
                layers.GlobalAveragePooling2D(keepdims=True),
            ]
        ),
        "Sequential around one": lambda: keras.Sequential([keras.Input((16, 16, 3)), net(one())]),
    }
    found |= {name: lambda build=build: judged(build()) for name, build in whole.items()}
    found |= {
        "allows 1x1": lambda: allowed(one()),
        "allows 3x3": lambda: allowed(layers.Conv2D(8, 3)),
        "allows dense": lambda: allowed(layers.Dense(8)),
        "allows depthwise": lambda: allowed(layers.DepthwiseConv2D(1)),
        "allows 1x1 of stride 2": lambda: allowed(one(strides=2)),
        "the base is abstract": lambda: sparsity.PruningPolicy(),
    }
    return {"policy": found}
