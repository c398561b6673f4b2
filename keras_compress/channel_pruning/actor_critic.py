"""An agent of deep deterministic policy gradients for episodes with one action in (0, 1) a step.

Lillicrap et al. 2016, "Continuous control with deep reinforcement learning", arXiv 1509.02971. Its
networks have a few thousand weights, for which a training step of a framework costs a hundred times
what NumPy takes. Actions are kept within their bounds by gradients that shrink toward these, and
turn beyond them (Hausknecht and Stone 2016, arXiv 1511.04143, section 4.3): an actor that ends in a
sigmoid saturates while the critic still learns, and hardly comes back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ActorCritic", "Network", "Transition", "bellman"]

_BATCH = 64
_SLOW = 0.02
_HIDDEN = 48

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Transition:
    """One step of an episode: what was seen and done, what it earned, and what is seen next."""

    state: NDArray[np.float32]
    action: float
    reward: float
    following: NDArray[np.float32]
    last: bool


def bellman(rewards: Array, last: NDArray[np.bool_], following: Array) -> Array:
    """Return what a critic ought to say: the reward, and what it says of the next step if any.

    Nothing is discounted: an episode is as long as the net has groups.
    """
    return rewards + np.where(last, 0.0, following)


class Network:
    """Two hidden layers of 48 units with ReLU and one output, trained by Adam.

    Args:
        inputs: How many inputs there are.
        rate: Of learning.
        generator: Draws the first weights.
        start: About what it says at first. Defaults to `0.0`.
    """

    def __init__(
        self, inputs: int, rate: float, generator: np.random.Generator, start: float = 0.0
    ) -> None:
        sizes = [inputs, _HIDDEN, _HIDDEN, 1]
        self.weights: list[Array] = []
        for before, after in itertools.pairwise(sizes):
            self.weights.append(generator.normal(0, np.sqrt(2 / before), (before, after)))
            self.weights.append(np.zeros(after))
        self.weights[-2] *= 0.1
        self.weights[-1] += start
        self._rate = rate
        self._moments = [(np.zeros_like(w), np.zeros_like(w)) for w in self.weights]
        self._updates = 0

    def __call__(self, x: Array) -> Array:
        """Return the outputs, `(n, 1)`, for inputs `(n, inputs)`."""
        return self._forward(x)[-1]

    def gradients(self, x: Array, upstream: Array) -> tuple[list[Array], Array]:
        """Return the gradients by the weights and by the inputs.

        Args:
            x: The inputs, `(n, inputs)`.
            upstream: The gradient by the outputs, `(n, 1)`.
        """
        first, second, _ = self._forward(x)
        found: list[Array] = []
        for layer, given in ((4, second), (2, first), (0, x)):
            found = [given.T @ upstream, upstream.sum(axis=0), *found]
            upstream = upstream @ self.weights[layer].T
            if layer:
                upstream = upstream * (given > 0)
        return found, upstream

    def update(self, gradients: list[Array]) -> None:
        """Take a step of Adam down the gradients."""
        self._updates += 1
        rate = self._rate * np.sqrt(1 - 0.999**self._updates) / (1 - 0.9**self._updates)
        for weight, gradient, (first, second) in zip(
            self.weights, gradients, self._moments, strict=True
        ):
            first += 0.1 * (gradient - first)
            second += 0.001 * (np.square(gradient) - second)
            weight -= rate * first / (np.sqrt(second) + 1e-8)

    def follow(self, other: Network) -> None:
        """Come a little nearer to the weights of another network."""
        for own, to in zip(self.weights, other.weights, strict=True):
            own += _SLOW * (to - own)

    def _forward(self, x: Array) -> tuple[Array, Array, Array]:
        w = self.weights
        first = np.maximum(x @ w[0] + w[1], 0)
        second = np.maximum(first @ w[2] + w[3], 0)
        return first, second, second @ w[4] + w[5]


def _bounded(actions: Array) -> Array:
    return actions.clip(0.0, 1.0)


class ActorCritic:
    """Learns from remembered steps what action earns most in the end.

    Args:
        features: Length of a state.
        seed: Of the networks and of what is drawn from memory.

    Attributes:
        actor: From states `(n, features)` to actions `(n, 1)`, hardly beyond 0 and 1.
        critic: From states and actions `(n, features + 1)` to what is earned from there on.
    """

    def __init__(self, features: int, seed: int) -> None:
        self._generator = np.random.default_rng(seed)
        self._memory: list[Transition] = []

        def made() -> tuple[Network, Network]:
            generator = np.random.default_rng(seed + 1)
            actor = Network(features, 1e-3, generator, start=0.5)
            return actor, Network(features + 1, 3e-3, generator)

        self.actor, self.critic = made()
        # Followers that change slowly, for targets that don't run away.
        self._slow_actor, self._slow_critic = made()

    def act(self, state: NDArray[np.float32]) -> float:
        """Return the action for one state."""
        return float(_bounded(self.actor(state[None].astype(np.float64)))[0, 0])

    def remember(self, transition: Transition) -> None:
        """Keep a step to learn from."""
        self._memory.append(transition)

    def learn(self) -> None:
        """Take one step of both networks, on a batch drawn from memory."""
        drawn = self._generator.integers(0, len(self._memory), _BATCH)
        batch = [self._memory[i] for i in drawn]
        states, following = (
            np.stack([getattr(t, name) for t in batch]).astype(np.float64)
            for name in ("state", "following")
        )
        actions = np.array([[t.action] for t in batch])
        rewards = np.array([t.reward for t in batch])
        last = np.array([t.last for t in batch])
        following = np.concatenate([following, _bounded(self._slow_actor(following))], axis=1)
        targets = bellman(rewards, last, self._slow_critic(following)[:, 0])[:, None]
        both = np.concatenate([states, actions], axis=1)
        error = self.critic(both) - targets
        self.critic.update(self.critic.gradients(both, 2 * error / _BATCH)[0])
        # Up the critic's values, by way of the actions.
        said = self.actor(states)
        both = np.concatenate([states, _bounded(said)], axis=1)
        up = self.critic.gradients(both, np.full((_BATCH, 1), -1 / _BATCH))[1][:, -1:]
        up = up * np.where(up < 0, 1 - said, said)
        self.actor.update(self.actor.gradients(states, up)[0])
        self._slow_actor.follow(self.actor)
        self._slow_critic.follow(self.critic)
