"""The catalogue of small nets: how they are entered, and what tests make of them."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

#: A function that makes each net, by its name.
NETS: dict[str, Callable[[], keras.Model]] = {}


#: Nets for back ends other than TensorFlow, on which each operation is compiled by itself. Of
#: attention JAX can do that whose heads have one size.
ELSEWHERE = (
    "slopes_by_place", "squeeze_excite_by_operations", "grouped_convolutions",
    "nested_models_called_twice", "shuffle_by_operations", "heads_between_two_sequences",
    "image_to_sequence",
)  # fmt: skip


def net(build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    NETS[build.__name__] = build
    return build


def image(*shape: int) -> keras.KerasTensor:
    return keras.Input(shape or (12, 12, 3))


def behind(inputs, x, units: int = 3) -> keras.Model:
    """Return a model that reads all channels of `x` by a convolution of size 1."""
    return keras.Model(inputs, layers.Conv2D(units, 1)(x))


def chosen() -> list[str]:
    """Return the names of the nets to test on this back end."""
    return list(NETS if keras.backend.backend() == "tensorflow" else ELSEWHERE)


def randomized(name: str, seed: int = 0) -> keras.Model:
    """Return a net with weights that no channel could do without."""
    keras.utils.set_random_seed(seed)
    model = NETS[name]()
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        if "variance" in variable.name or "gamma" in variable.name:
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1:
            variable.assign(generator.normal(0, 0.3, variable.shape))
    return model


def samples(model: keras.Model, count: int = 2, seed: int = 0):
    """Return random samples for a net, in the structure of its inputs."""
    generator = np.random.default_rng(seed)

    def of(x):
        shape = (count, *(12 if size is None else size for size in x.shape[1:]))
        if x.dtype == "int32":
            return generator.integers(0, 20, shape)
        return generator.normal(size=shape).astype("float32")

    found = [of(x) for x in model.inputs]
    return found[0] if len(found) == 1 else found


def random_masks(groups, share: float = 0.5, seed: int = 0) -> dict[str, np.ndarray]:
    """Return channels to keep of each group, by chance, so that none is left empty."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, group in groups.items():
        found[name] = np.ones(group.size, bool)
        for _ in range(50):
            mask = generator.random(group.size) >= share
            if group.holds(mask) and not mask.all():
                found[name] = mask
                break
    return found
