"""Which channels of each group are kept: a file that can be read, edited and applied."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.group import ChannelGroup
from keras_compress.channel_pruning.grouping import find_groups
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.surgery import remove_channels
from keras_compress.channel_pruning.verification import difference_to_zeroed
from keras_compress.errors import KerasCompressError
from keras_compress.storage import read_file, write_atomic

if TYPE_CHECKING:
    import keras

    from keras_compress.tensor import Tensor

__all__ = ["ChannelPlan"]

_FORMAT = "keras-compress-channel-plan"
_VERSION = 1
#: A net of a hundred thousand channels takes a megabyte.
_LARGEST_FILE = 2**26
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ChannelPlan:
    """The channels kept of each group that is cut.

    Example:

    ```python
    groups = channel_pruning.find_groups(model)
    plan = channel_pruning.ChannelPlan.of(groups, {"conv1": range(16)})
    plan.save("plan.json")
    small = channel_pruning.ChannelPlan.load("plan.json").apply(model)
    ```

    Attributes:
        kept: Indices of the channels that stay, rising, by the name of the group. A group that
            isn't named stays as it is.
        sizes: Number of channels of each of these groups.
        fingerprint: That of the groups of the model it was made for; weights don't matter.
        model: Name of that model.
    """

    kept: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    fingerprint: str
    model: str = field(default="", compare=False)

    @classmethod
    def of(
        cls, groups: ChannelGroups, kept: Mapping[str, Sequence[int] | NDArray[np.bool_]]
    ) -> ChannelPlan:
        """Return a plan for a model.

        Args:
            groups: The groups of the model; what `restrict` left out may not be cut.
            kept: For each group to cut, the indices of the channels that stay, or one bool a
                channel.

        Raises:
            KerasCompressError: If a group isn't there, an index is out of range, or a layer would
                be left without channels.
        """
        found: dict[str, tuple[int, ...]] = {}
        for name, given in kept.items():
            if name not in groups:
                raise KerasCompressError(
                    f"A plan cuts groups of the model. Received: {name!r}; the groups are: "
                    f"{', '.join(groups) or 'none'}."
                )
            indices = np.asarray(list(given))
            if indices.dtype == bool:
                if len(indices) != groups[name].size:
                    raise _wrong_indices(name, groups[name].size, list(given))
                indices = np.flatnonzero(indices)
            found[name] = _checked(groups[name], indices.tolist())
        sizes = {name: groups[name].size for name in found}
        return cls(found, sizes, groups.fingerprint, groups.model.name)

    def masks(self, groups: ChannelGroups) -> dict[str, NDArray[np.bool_]]:
        """Return one bool a channel for each group that is cut.

        Raises:
            KerasCompressError: If the plan was made for a model with other groups.
        """
        by_name = {group.name: group for group in groups.every}
        sizes = {name: group.size for name, group in by_name.items()}
        if self.fingerprint != groups.fingerprint:
            differ = [
                f"{name!r} with {size} channels"
                + (f", here {sizes[name]}" if name in sizes else ", not here")
                for name, size in self.sizes.items()
                if sizes.get(name) != size
            ]
            why = "; ".join(differ[:3]) or "they are read or made by other layers"
            raise KerasCompressError(
                "A plan is for models whose channels are coupled like those of the one it was made "
                f"for. Received: a plan for {self.model!r}, and {groups.model.name!r}, whose "
                f"groups are others ({why}). Make a plan for this model."
            )
        found = {}
        for name, kept in self.kept.items():
            _checked(by_name[name], list(kept))
            found[name] = np.isin(np.arange(by_name[name].size), kept)
        return found

    def apply(self, model: keras.Model, *, verify: object = None) -> keras.Model:
        """Return a smaller model without the channels that the plan doesn't keep.

        It is of the same kind, with the same names, and compiled like `model`, with the state of
        the optimizer. `model` stays as it is.

        Args:
            model: The model the plan was made for, or one of the same architecture with other
                weights.
            verify: Samples, arrays in the structure of the model's inputs. The smaller model must
                compute on them what `model` does with the removed channels at zero, to 1e-5 of the
                largest result. Defaults to `None`: no check.

        Raises:
            KerasCompressError: If the plan is for another model, a layer can't be copied, or the
                check fails.
        """
        groups = model if isinstance(model, ChannelGroups) else find_groups(model)
        keep = groups.keep_mask(self.masks(groups))
        small = remove_channels(groups.analysis, keep)
        if verify is not None:
            difference = difference_to_zeroed(groups.analysis, keep, small, verify)
            if difference > _TOLERANCE:
                raise KerasCompressError(
                    "A smaller model must compute what the larger one does with the removed "
                    f"channels at zero, to {_TOLERANCE:g}. Received: a difference of "
                    f"{difference:.2g} of the largest result. If a rule was registered for a layer "
                    "of your own, check it."
                )
        return small

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a JSON file, whole or not at all.

        Raises:
            KerasCompressError: If it can't be written.
        """
        lines = [
            f"  {json.dumps(name)}: "
            + json.dumps({"channels": self.sizes[name], "kept": list(kept)})
            for name, kept in self.kept.items()
        ]
        head = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": self.model,
            "fingerprint": self.fingerprint,
        }
        text = json.dumps(head, indent=1)[:-2] + ',\n "groups": {\n'
        write_atomic(path, text + ",\n".join(lines) + "\n }\n}\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ChannelPlan:
        """Read a plan that `save` wrote, or that was edited since.

        Raises:
            KerasCompressError: If the file can't be read or isn't a plan.
        """
        data = read_file(path, limit=_LARGEST_FILE)
        try:
            record = json.loads(data)
            _require(isinstance(record, dict), "it is no JSON object")
            _require(record.get("format") == _FORMAT, f"its format isn't {_FORMAT!r}")
            version = record.get("version")
            _require(version == _VERSION, f"it is of version {version!r}, not {_VERSION}")
            fingerprint, groups = record.get("fingerprint"), record.get("groups")
            _require(isinstance(fingerprint, str), "it has no fingerprint")
            _require(isinstance(groups, dict), "it has no groups")
            kept: dict[str, tuple[int, ...]] = {}
            sizes: dict[str, int] = {}
            for name, entry in groups.items():
                _require(isinstance(entry, dict), f"{name!r} is no object")
                size, indices = entry.get("channels"), entry.get("kept")
                _require(_is_count(size) and size > 0, f"{name!r} has no number of channels")
                _require(isinstance(indices, list), f"{name!r} has no list of kept channels")
                fits = all(_is_count(i) and i < size for i in indices)
                _require(fits and len(set(indices)) == len(indices), f"{name!r} keeps what isn't")
                _require(bool(indices), f"{name!r} keeps no channel")
                sizes[name], kept[name] = size, tuple(sorted(indices))
        except (ValueError, RecursionError) as error:
            raise KerasCompressError(
                f"A plan is read from a file that `ChannelPlan.save` wrote. Received: {path} "
                f"({str(error).splitlines()[0][:200] if str(error) else type(error).__name__})."
            ) from error
        return cls(kept, sizes, fingerprint, str(record.get("model", "")))

    @property
    def removed(self) -> int:
        """Number of channels that the plan removes."""
        return sum(size - len(self.kept[name]) for name, size in self.sizes.items())


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise ValueError(why)


def _is_count(value: Tensor) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _checked(group: ChannelGroup, indices: list[int]) -> tuple[int, ...]:
    """Return indices in order, checked against a group."""
    whole = all(isinstance(i, int) and 0 <= i < group.size for i in indices)
    if not whole or len(set(indices)) != len(indices):
        raise _wrong_indices(group.name, group.size, indices)
    mask = np.isin(np.arange(group.size), indices)
    if not group.holds(mask):
        raise KerasCompressError(
            "Each layer, and each part of it that is read alone, must keep a channel. Received: "
            f"{len(indices)} of {group.size} channels of {group.name!r}, which leave "
            f"{', '.join(repr(name) for name in group.layers[:3])} or a part without any."
        )
    return tuple(sorted(indices))


def _wrong_indices(name: str, size: int, given: list[Any]) -> KerasCompressError:
    return KerasCompressError(
        f"The kept channels are different indices from 0 to {size - 1}, or {size} bools. "
        f"Received: {str(given)[:100]} for {name!r}."
    )
