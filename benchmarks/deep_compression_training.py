"""How the nets of the Deep Compression records are trained: batches, losses, two stages.

First a float net (for ResNet8: the published weights, normalization folded), then the same net
with `keras_compress.rate`, and nothing else: no pruning, no clustering, no surgery. Both stages
can be stopped and started again; they go on at the last whole epoch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from deep_compression_data import IMAGES, data_folder, data_set, distorted, load

from keras_compress import architectures, rate
from keras_compress.rate.lifecycle import rate_aware_layers

# What pixels are multiplied by. ResNet8's weights are for bytes as they are: its first kernel is
# trained 64 times as large, or a step of Adam would be a fifth of a weight.
SCALES = {"mnist": 1 / 255, "cifar10": 1 / 64}


@dataclass(frozen=True)
class Recipe:
    """One way to train a net for its record.

    Args:
        net: `lenet_300_100`, `lenet_5` or `resnet8`.
        rate_weight: What a bit costs, in nats of the loss.
        epochs: Epochs with rounded weights; one is as many images as the training set has.
        float_epochs: Epochs of the float net before.
        batch: Images of a batch.
        learning_rate: Of Adam, both stages.
        target_bytes: Size of the weights that the price is moved to after the ramp, while settling
            too; 0: the price stays.
        ramp: Share of the epochs over which the price of a bit grows.
        hold: Share of the epochs at the whole learning rate; cosine decay follows.
        step_size: First step size, in standard deviations of a weight.
        step_digits: Binary digits of a step size.
        settle_epochs: Epochs from the rounded weights on, at a low learning rate. Before,
            weights that loss and price pull apart swing between two values.
        settle_learning_rate: The learning rate of these.
        settle_rate_weight: What a bit costs in these, or does at first; 0: as before.
        average: Momentum of the weights' moving average that is kept at the end; 0: the last ones.
        copies: How many distorted copies stand beside the images as they are.
        teacher: Whether the teacher is listened to.
        temperature: Of the softmax of teacher and net, where it is.
        bfloat16: Whether the first of the two stages computes in bfloat16 (weights, rounding and
            price stay float32), for processors that have it.
    """

    net: str
    rate_weight: float
    epochs: int
    float_epochs: int = 0
    batch: int = 200
    learning_rate: float = 1e-3
    target_bytes: int = 0
    ramp: float = 0.3
    hold: float = 0.5
    step_size: float = 1.0
    step_digits: int = 4
    settle_epochs: int = 0
    settle_learning_rate: float = 5e-5
    settle_rate_weight: float = 0.0
    average: float = 0.0
    copies: int = 0
    teacher: bool = False
    temperature: float = 2.0
    bfloat16: bool = False


class Batches(keras.utils.PyDataset):
    """Endless shuffled images: an epoch takes the next batches of a permutation of its own."""

    def __init__(self, images, labels, logits, batch, per_epoch, seed, scale):
        super().__init__()
        self.images, self.labels, self.logits = images, labels, logits
        self.batch, self.steps, self.seed, self.scale = batch, per_epoch // batch, seed, scale
        self.epoch = 0
        self._permute()

    def _permute(self):
        # A round through all images, then a new permutation: the epoch says where we are.
        per_round = max(len(self.images) // (self.steps * self.batch), 1)
        generator = np.random.default_rng([self.seed, self.epoch // per_round])
        order = generator.permutation(len(self.images))
        start = (self.epoch % per_round) * self.steps * self.batch
        self.order = order[start : start + self.steps * self.batch]

    def __len__(self):
        return self.steps

    def __getitem__(self, index):
        chosen = np.sort(self.order[index * self.batch : (index + 1) * self.batch])
        x = self.images[chosen].astype(np.float32) * self.scale
        y = self.labels[chosen].astype(np.float32)[:, None]
        if self.logits is not None:
            y = np.concatenate([y, self.logits[chosen].astype(np.float32)], axis=1)
        return x, y

    def on_epoch_end(self):
        self.epoch += 1
        self._permute()


@keras.saving.register_keras_serializable(package="keras_compress_benchmarks")
class HoldThenCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate for `hold` steps, then half a cosine down to a hundredth."""

    def __init__(self, learning_rate, hold, steps):
        self.learning_rate, self.hold, self.steps = learning_rate, hold, steps

    def __call__(self, step):
        ops = keras.ops
        step = ops.cast(step, "float32")
        done = ops.clip((step - self.hold) / max(self.steps - self.hold, 1), 0.0, 1.0)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + ops.cos(np.pi * done)))

    def get_config(self):
        return {"learning_rate": self.learning_rate, "hold": self.hold, "steps": self.steps}


@keras.saving.register_keras_serializable(package="keras_compress_benchmarks")
class LabelAndTeacher(keras.losses.Loss):
    """0.3 times cross-entropy with the label, the rest with the teacher's logits if given."""

    def __init__(self, temperature, name="label_and_teacher", **kwargs):
        super().__init__(name=name, **kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        ops = keras.ops
        label, y_pred = ops.cast(y_true[:, 0], "int32"), ops.cast(y_pred, "float32")
        hard = keras.losses.sparse_categorical_crossentropy(label, y_pred, from_logits=True)
        if y_true.shape[-1] == 1:
            return hard
        soft = keras.losses.categorical_crossentropy(
            ops.softmax(y_true[:, 1:] / self.temperature),
            y_pred / self.temperature,
            from_logits=True,
        )
        return 0.3 * hard + 0.7 * self.temperature**2 * soft

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="keras_compress_benchmarks")
def accuracy(y_true, y_pred):
    """Share of right labels, whatever stands beside the label."""
    right = keras.ops.argmax(y_pred, axis=-1) == keras.ops.cast(y_true[:, 0], "int32")
    return keras.ops.cast(right, "float32")


def new_net(net: str, data: Path | None = None) -> keras.Model:
    """Return the float net to start from, ending in logits."""
    if net != "resnet8":
        return getattr(architectures, net)(classifier_activation=None)
    model = architectures.resnet8(classifier_activation=None)
    weights = (data or data_folder()) / "models" / "mlperf_tiny" / "pretrainedResnet.h5"
    model.set_weights(keras.models.load_model(weights, compile=False).get_weights())
    return scaled_stem(fold_normalization(model), 1 / SCALES["cifar10"])


def scaled_stem(model: keras.Model, factor: float) -> keras.Model:
    """Return the ResNet8 `model` with the kernel of its first convolution times `factor`."""
    stem = model.get_layer("stem")
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel * np.float32(factor), bias])
    return model


def fold_normalization(model: keras.Model) -> keras.Model:
    """Return the ResNet8 `model` with its normalizations multiplied into its convolutions.

    The graph is what the exporter makes of the net anyway, and the one MLPerf's int8 file has.
    Logits are float32 under every policy.
    """
    layers = keras.layers

    def convolution(x, name, normalization=None):
        config = {**model.get_layer(name).get_config(), "kernel_regularizer": None}
        layer = layers.Conv2D.from_config(config)
        x = layer(x)
        kernel, bias = model.get_layer(name).get_weights()
        if normalization:
            original = model.get_layer(normalization)
            gamma, beta, mean, variance = original.get_weights()
            scale = gamma / np.sqrt(variance + original.epsilon)
            kernel, bias = kernel * scale, (bias - mean) * scale + beta
        layer.set_weights([kernel, bias])
        return x

    inputs = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU()(convolution(inputs, "stem", "stem_bn"))
    for stack in ("stack1", "stack2", "stack3"):
        y = layers.ReLU()(convolution(x, f"{stack}_conv1", f"{stack}_bn1"))
        y = convolution(y, f"{stack}_conv2", f"{stack}_bn2")
        if stack != "stack1":
            x = convolution(x, f"{stack}_shortcut")
        x = layers.ReLU()(layers.Add()([x, y]))
    classifier = layers.Dense(10, name="classifier", dtype="float32")
    outputs = classifier(layers.GlobalAveragePooling2D(dtype="float32")(x))
    classifier.set_weights(model.get_layer("classifier").get_weights())
    return keras.Model(inputs, outputs, name="resnet8")


def with_normalization(model: keras.Model) -> keras.Model:
    """Return what `fold_normalization` made of ResNet8 as the architecture has it again.

    The normalizations double and the kernels are halved: the exporter gets the same numbers, and
    the graph of every other ResNet8, which the packer knows; normalizations by one are dropped.
    """
    original = architectures.resnet8(classifier_activation=None)
    for layer in original.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([2 * gamma, beta, mean, variance - np.float32(layer.epsilon)])
        elif layer.weights:
            doubled = layer.name == "stem" or "conv" in layer.name
            weights = model.get_layer(layer.name).get_weights()
            layer.set_weights([w / np.float32(2 if doubled else 1) for w in weights])
    return original


def batches(recipe: Recipe, seed: int, cache: Path, data: Path | None):
    """Return the training batches of a recipe."""
    name = data_set(recipe.net)
    if recipe.copies:
        x, y = distorted(name, cache, data, recipe.copies)
        x = np.array(x)  # in memory: a row at a time is drawn from all over it
    else:
        (x, y), _ = load(name, data)
    logits = None
    if recipe.teacher:
        logits = np.array(np.load(cache / f"{name}_logits.npy", mmap_mode="r")[: len(x)])
    if name == "mnist":
        x = x[..., None]
    scale = np.float32(SCALES[name])
    return Batches(x, y.ravel(), logits, recipe.batch, IMAGES[name], seed, scale)


def test_set(net: str, data: Path | None):
    """Return the whole test set, images as the net takes them."""
    name = data_set(net)
    _, (x, y) = load(name, data)
    x = x[..., None] if name == "mnist" else x
    return x.astype(np.float32) * np.float32(SCALES[name]), y.astype(np.float32)[:, None]


def fit(model, recipe, epochs, seed, folder, cache, data, callbacks=(), log=print):
    """Train `model`, a compiled copy of it, for `epochs`; go on where a stopped run was."""
    keras.utils.set_random_seed(seed)
    training = batches(recipe, seed, cache, data)
    steps = len(training) * epochs
    schedule = HoldThenCosine(recipe.learning_rate, steps * recipe.hold, steps)
    model.compile(
        keras.optimizers.Adam(
            schedule, use_ema=recipe.average > 0, ema_momentum=recipe.average or 0.99
        ),
        LabelAndTeacher(recipe.temperature),
        metrics=[accuracy],
        # XLA's convolutions are slower than TensorFlow's own on a CPU.
        jit_compile=recipe.net == "lenet_300_100" or keras.backend.backend() == "jax",
    )
    x_test, y_test = test_set(recipe.net, data)

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if training.epoch != epoch:
                training.epoch = epoch
                training._permute()

        def on_epoch_end(self, epoch, logs=None):
            text = {k: float(f"{float(v):.5g}") for k, v in (logs or {}).items()}
            if epoch % 5 == 4 or epoch + 1 == epochs:
                error = 1 - model.evaluate(x_test, y_test, batch_size=500, verbose=0)[1]
                text["test_error"] = round(100 * float(error), 2)
            log(f"epoch {epoch + 1}/{epochs} {text}")

    folder.mkdir(parents=True, exist_ok=True)
    model.fit(
        training,
        epochs=epochs,
        verbose=0,
        callbacks=[*callbacks, Watch(), keras.callbacks.BackupAndRestore(folder / "backup")],
    )
    return model


def float_net(recipe: Recipe, seed: int, cache: Path, data: Path | None, log=print):
    """Return the float net of a recipe, from the cache if it's there."""
    keras.utils.set_random_seed(seed)
    model = new_net(recipe.net, data)
    if not recipe.float_epochs:
        return model
    kind = f"{'taught' if recipe.teacher else 'plain'}{recipe.copies}"
    name = f"{recipe.net}-{kind}-{recipe.float_epochs}-seed{seed}"
    path = cache / f"{name}.weights.h5"
    if not path.exists():
        fit(model, recipe, recipe.float_epochs, seed, cache / name, cache, data, log=log)
        model.save_weights(path)
    model.load_weights(path)
    return model


def rate_net(recipe: Recipe, seed: int, cache: Path, data: Path | None, name: str, log=print):
    """Return the finalized rate-aware net of a recipe, for images as its record takes them."""
    path, price_path = cache / f"{name}-unsettled.keras", cache / f"{name}-price.json"
    if path.exists():
        model = keras.models.load_model(path, compile=False)
        price = json.loads(price_path.read_text())
    else:
        if recipe.bfloat16:
            keras.config.set_dtype_policy("mixed_bfloat16")
        model = float_net(recipe, seed, cache, data, log)
        ramp = recipe.ramp * recipe.epochs
        place = cache, data, name
        model, price = rate_aware(model, recipe, recipe.epochs, ramp, seed, place, log)
        keras.config.set_dtype_policy("float32")
        if recipe.settle_epochs:
            price_path.write_text(json.dumps(price))
            model.save(path)
    if recipe.bfloat16:
        weights = model.get_weights()
        model = new_net(recipe.net, data)
        model.set_weights(weights)
    if recipe.settle_epochs:
        settling = replace(
            recipe,
            rate_weight=recipe.settle_rate_weight or price,
            learning_rate=recipe.settle_learning_rate,
            hold=0.2,
        )
        place = cache, data, f"{name}-settling"
        model, _ = rate_aware(model, settling, recipe.settle_epochs, 0, seed, place, log)
    return scaled_stem(model, SCALES["cifar10"]) if recipe.net == "resnet8" else model


def rate_aware(model, recipe, epochs, ramp_epochs, seed, place, log):
    """Return `model` trained for its rate, in stock layers, and the last price of a bit."""
    cache, data, name = place
    steps = IMAGES[data_set(recipe.net)] // recipe.batch
    config = rate.RateConfig(
        recipe.rate_weight,
        ramp_steps=int(steps * ramp_epochs),
        initial_step_size=recipe.step_size,
        step_digits=recipe.step_digits,
        target_bytes=recipe.target_bytes or None,
    )
    model = rate.prepare(model, config)
    callbacks = [rate.RateCallback(config)]
    fit(model, recipe, epochs, seed, cache / name, cache, data, callbacks, log)
    price = float(keras.ops.convert_to_numpy(rate_aware_layers(model)[0].strength))
    return rate.finalize(model), price
