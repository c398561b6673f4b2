"""Masks, schedules, pruned layers and their training."""

from __future__ import annotations

import itertools
import tempfile
from typing import Any

import numpy as np


def weight(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype("float32")


def layer_of(keras, shape):
    """Return a layer whose kernel has `shape`, and what it reads."""
    layers = keras.layers
    if len(shape) == 2:
        return layers.Dense(shape[-1], use_bias=False), (shape[0],)
    if len(shape) == 3:
        return layers.Conv1D(shape[-1], shape[0], use_bias=False), (9, shape[1])
    if len(shape) == 4:
        return layers.Conv2D(shape[-1], shape[:2], use_bias=False), (9, 9, shape[2])
    return layers.Conv3D(shape[-1], shape[:3], use_bias=False), (5, 5, 5, shape[3])


def pruned_once(keras, sparsity, shape, share, values=None, **arguments):
    """Return the wrapper of a layer whose masks were made at step 1."""
    layer, inputs = layer_of(keras, shape)
    schedule = sparsity.ConstantSparsity(share, 0, frequency=1)
    wrapper = sparsity.prune_low_magnitude(layer, schedule, **arguments)
    keras.Sequential([keras.Input(inputs), wrapper])
    layer.set_weights([weight(*shape) if values is None else values])
    wrapper.pruning_step.assign(1)
    wrapper.pruning_obj.conditional_mask_update()
    wrapper.pruning_obj.weight_mask_op()
    return wrapper


def seen(wrapper):
    return [
        [np.asarray(w), np.asarray(m, "float32"), np.asarray(t)] for w, m, t in wrapper.pruning_vars
    ]


def masks(keras, sparsity):
    found = {}
    dense, conv = [(6, 4), (7, 5), (1, 8), (12, 9)], [(3, 4, 5), (3, 3, 4, 6), (2, 2, 2, 3, 4)]
    for shape, share in itertools.product(dense + conv, (0.0, 0.3, 0.5, 0.9, 0.999)):
        found[f"magnitude {shape} {share}"] = lambda s=shape, p=share: seen(
            pruned_once(keras, sparsity, s, p)
        )
    ties = np.array([[1, -1, 1], [2, 1, -1], [0, 0, 3]], "float32")
    for share in (0.2, 0.5, 0.7):
        found[f"ties {share}"] = lambda p=share: seen(pruned_once(keras, sparsity, (3, 3), p, ties))
    blocks = [(2, 2), (1, 3), (4, 1), (3, 5), (6, 4)]
    for shape, block, pool in itertools.product([*dense, (3, 3, 4, 6)], blocks, ("AVG", "MAX")):
        found[f"blocks {shape} {block} {pool}"] = lambda s=shape, b=block, p=pool: seen(
            pruned_once(keras, sparsity, s, 0.5, block_size=b, block_pooling_type=p)
        )
    for shape, pair in itertools.product(dense + conv, [(2, 4), (1, 2), (3, 8), [2, 4], (1, 16)]):
        found[f"m by n {shape} {pair}"] = lambda s=shape, p=pair: seen(
            pruned_once(keras, sparsity, s, 0.5, sparsity_m_by_n=p)
        )
    for begin, end, frequency in ((0, -1, 1), (2, -1, 1), (2, 4, 2), (5, -1, 1), (1, 3, 3)):

        def conditional(begin=begin, end=end, frequency=frequency, m_by_n=None):
            layer, inputs = layer_of(keras, (6, 4))
            schedule = sparsity.ConstantSparsity(0.5, begin, end, frequency)
            wrapper = sparsity.prune_low_magnitude(layer, schedule, sparsity_m_by_n=m_by_n)
            keras.Sequential([keras.Input(inputs), wrapper])
            made = []
            for step in range(7):
                layer.set_weights([weight(6, 4, seed=step)])
                wrapper.pruning_step.assign(step)
                wrapper.pruning_obj.conditional_mask_update()
                made.append(seen(wrapper)[0][1])
            return made

        found[f"conditional {begin} {end} {frequency}"] = conditional
        found[f"conditional m by n {begin} {end} {frequency}"] = lambda c=conditional: c(
            m_by_n=(2, 4)
        )
    return found


def schedules(sparsity):
    found: dict[str, Any] = {}
    constant, decay = sparsity.ConstantSparsity, sparsity.PolynomialDecay
    cases = {
        f"constant {a}": lambda a=a: constant(*a)
        for a in ((0.4, 3), (0.4, 3, 20, 5), (0.0, 0), (0.99, 7, 7, 1), (0.5, 0, -1, 100))
    }
    cases |= {
        f"decay {a}": lambda a=a: decay(*a)
        for a in ((0.1, 0.9, 2, 31, 3, 7), (0.9, 0.1, 0, 30, 1, 1), (0.0, 0.77, 5, 25, 2, 4))
    }
    for name, make in cases.items():
        found[f"{name} values"] = lambda make=make: [
            [bool(np.asarray(a)), np.asarray(b)] for a, b in map(make(), range(0, 40, 3))
        ]
        found[f"{name} config"] = lambda make=make: make().get_config()
        found[f"{name} from config"] = lambda make=make: (
            type(make()).from_config(make().get_config()["config"]).get_config()
        )
    wrong = [(1.0, 0), (-0.1, 0), (1.5, 0), (0.5, -1), (0.5, 0, -2), (0.5, 9, 5), (0.5, 0, 5, 0)]
    wrong += [(0.5, 0, 5, -3), (0.5, 5, 5), (0.5, 0, 0)]
    for arguments in wrong:
        found[f"constant {arguments} taken"] = lambda a=arguments: type(constant(*a)).__name__
    wrong = [(0.0, 0.5, 0, -1), (0.0, 1.0, 0, 4), (-0.5, 0.5, 0, 4), (0.0, 0.5, 0, 4, 3, 0)]
    wrong += [(0.0, 0.5, 5, 4), (0.0, 0.5, -5, 4), (1.0, 0.5, 0, 4), (0.0, 0.5, 0, -7)]
    for arguments in wrong:
        found[f"decay {arguments} taken"] = lambda a=arguments: type(decay(*a)).__name__

    class Own(sparsity.PruningSchedule):
        def __call__(self, step):
            return self._should_prune_in_step(step, 1, 5, 2), 0.25

        def get_config(self):
            return {"class_name": "Own", "config": {}}

    found["own values"] = lambda: [bool(np.asarray(Own()(step)[0])) for step in range(8)]
    found["the base is abstract"] = lambda: sparsity.PruningSchedule()
    return found


def registry(keras, sparsity):
    """Which layers are taken, and how many of their weights."""
    layers = keras.layers
    rows = [(5, 3)]
    images, volumes = [(6, 6, 2)], [(5, 5, 5, 2)]
    cases = {
        "Dense": (lambda: layers.Dense(3), [(4,)]),
        "Conv1D": (lambda: layers.Conv1D(3, 2), rows),
        "Conv2D": (lambda: layers.Conv2D(3, 2), images),
        "Conv3D": (lambda: layers.Conv3D(3, 2), volumes),
        "Conv1DTranspose": (lambda: layers.Conv1DTranspose(3, 2), rows),
        "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 2), images),
        "Conv3DTranspose": (lambda: layers.Conv3DTranspose(3, 2), volumes),
        "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(2), rows),
        "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(2), images),
        "SeparableConv1D": (lambda: layers.SeparableConv1D(3, 2), rows),
        "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 2), images),
        "Embedding": (lambda: layers.Embedding(9, 3), [(4,)]),
        "LSTM": (lambda: layers.LSTM(3), rows),
        "GRU": (lambda: layers.GRU(3), rows),
        "SimpleRNN": (lambda: layers.SimpleRNN(3), rows),
        "RNN of LSTMCell": (lambda: layers.RNN(layers.LSTMCell(3)), rows),
        "RNN of cells": (lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), rows),
        "ConvLSTM2D": (lambda: layers.ConvLSTM2D(2, 2), [(3, 6, 6, 2)]),
        "Bidirectional": (lambda: layers.Bidirectional(layers.LSTM(3)), rows),
        "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(3)), rows),
        "BatchNormalization": (lambda: layers.BatchNormalization(), [(4,)]),
        "LayerNormalization": (lambda: layers.LayerNormalization(), [(4,)]),
        "GroupNormalization": (lambda: layers.GroupNormalization(2), [(4,)]),
        "UnitNormalization": (lambda: layers.UnitNormalization(), [(4,)]),
        "EinsumDense": (lambda: layers.EinsumDense("ab,bc->ac", 3), [(4,)]),
        "PReLU": (lambda: layers.PReLU(), [(4,)]),
        "Activation": (lambda: layers.Activation("relu"), [(4,)]),
        "Dropout": (lambda: layers.Dropout(0.5), [(4,)]),
        "Flatten": (lambda: layers.Flatten(), images),
        "Reshape": (lambda: layers.Reshape((2, 2)), [(4,)]),
        "Masking": (lambda: layers.Masking(), rows),
        "MaxPooling2D": (lambda: layers.MaxPooling2D(), images),
        "GlobalAveragePooling2D": (lambda: layers.GlobalAveragePooling2D(), images),
        "ZeroPadding2D": (lambda: layers.ZeroPadding2D(), images),
        "UpSampling2D": (lambda: layers.UpSampling2D(), images),
        "Add": (lambda: layers.Add(), [(4,), (4,)]),
        "Concatenate": (lambda: layers.Concatenate(), [(4,), (4,)]),
        "Dot": (lambda: layers.Dot(1), [(4,), (4,)]),
        "Lambda": (lambda: layers.Lambda(lambda x: x), [(4,)]),
        "ReLU": (lambda: layers.ReLU(), [(4,)]),
        "Softmax": (lambda: layers.Softmax(), [(4,)]),
    }
    found = {}
    for name, (make, shapes) in cases.items():

        def taken(make=make, shapes=shapes):
            layer = make()
            before = hasattr(layer, "get_prunable_weights")
            wrapper = sparsity.prune_low_magnitude(layer)
            inputs = [keras.Input(shape) for shape in shapes]
            wrapper(inputs if len(inputs) > 1 else inputs[0])
            told = layer.get_prunable_weights()
            same = all(a is w for a, (w, _, _) in zip(told, wrapper.pruning_vars, strict=True))
            shapes = [list(np.asarray(each).shape) for each in told]
            return before, shapes, same, wrapper.layer is layer, wrapper.name.rstrip("_0123456789")

        found[name] = taken

    def attention():
        layer = layers.MultiHeadAttention(2, 3)
        x = keras.Input((5, 4))
        layer(x, x)
        wrapper = sparsity.prune_low_magnitude(layer)
        wrapper(query=x, value=x) if int(keras.__version__[0]) > 2 else wrapper(x, value=x)
        return [list(np.asarray(each).shape) for each in layer.get_prunable_weights()]

    found["MultiHeadAttention"] = attention
    return found


def training(keras, sparsity):
    """Steps, masks and weights after trainings of one and of several epochs, and of one's own."""

    def net(schedule, **arguments):
        keras.utils.set_random_seed(0)
        layers = keras.layers
        model = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(3)])
        model.set_weights([weight(6, 5), np.zeros(5), weight(5, 3), np.zeros(3)])
        return sparsity.prune_low_magnitude(model, schedule, **arguments)

    x, y = weight(20, 6), weight(20, 3)

    def fitted(schedule, epochs=1, optimizer="sgd", eager=True, **arguments):
        model = net(schedule, **arguments)
        model.compile(keras.optimizers.get(optimizer), "mse", run_eagerly=eager)
        callback = sparsity.UpdatePruningStep()
        model.fit(x, y, batch_size=5, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback])
        return model

    def state(model):
        return [[np.asarray(each.pruning_step), seen(each)] for each in model.layers]

    constant, decay = sparsity.ConstantSparsity, sparsity.PolynomialDecay
    cases = {
        "half from the start": (lambda: constant(0.5, 0, frequency=1), {}),
        "half from step 3": (lambda: constant(0.5, 3, frequency=1), {}),
        "seldom": (lambda: constant(0.5, 0), {}),
        "decay": (lambda: decay(0.1, 0.8, 0, 6, frequency=2), {"epochs": 2}),
        "adam": (lambda: constant(0.7, 1, frequency=2), {"optimizer": "adam", "epochs": 2}),
        "two of four": (lambda: constant(0.5, 0), {"sparsity_m_by_n": (2, 4)}),
        "blocks": (lambda: constant(0.5, 0, frequency=1), {"block_size": (2, 1)}),
        "in a graph": (lambda: constant(0.5, 0, frequency=1), {"eager": False}),
    }
    found = {
        name: lambda make=make, more=more: state(fitted(make(), **more))
        for name, (make, more) in cases.items()
    }

    def loop(begun=True, ended=True):
        import tensorflow as tf

        model = net(constant(0.5, 0, frequency=1))
        model.optimizer = optimizer = keras.optimizers.SGD(0.01)
        callback = sparsity.UpdatePruningStep()
        callback.set_model(model)
        if begun:
            callback.on_train_begin()
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
            variables = model.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        if ended:
            callback.on_epoch_end(batch=-1)
        return state(model)

    def fit_without():
        model = net(constant(0.5, 0))
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)

    def saved(suffix):
        model = fitted(constant(0.5, 0, frequency=1))
        with tempfile.TemporaryDirectory() as folder:
            model.save_weights(f"{folder}/m{suffix}")
            other = net(constant(0.5, 0, frequency=1))
            other.load_weights(f"{folder}/m{suffix}")
        return state(other)

    def summaries(log_dir):
        return type(sparsity.PruningSummaries(log_dir=log_dir)).__name__

    found |= {
        "own loop": loop,
        "own loop without an end": lambda: loop(ended=False),
        "own loop without a begin": lambda: loop(begun=False),
        "fit without the callback": fit_without,
        "no optimizer": lambda: getattr(net(constant(0.5, 0)), "optimizer", None) is None,
        "weights saved": lambda: saved(".weights.h5"),
        "step before": lambda: [np.asarray(e.pruning_step) for e in net(constant(0.5, 0)).layers],
        "evaluation counts no step": lambda: [
            net(constant(0.5, 0))(x, training=False).shape[0] and 1
        ],
        "summaries to nowhere": lambda: summaries(""),
        "summaries to an object": lambda: summaries(object()),
        "summaries to None": lambda: summaries(None),
    }
    return found


def calls(keras, sparsity, _):
    return {
        "masks": masks(keras, sparsity),
        "schedules": schedules(sparsity),
        "layers pruned": registry(keras, sparsity),
        "pruned training": training(keras, sparsity),
    }
