"""Factors of 1 before the channels that layers read, one a sample, coupled ones sharing theirs.

What stands before a layer returns what it is given, and costs no memory; only the gradient shows
that there is a factor: `dL_n/dm = sum over places of A_n * dL_n/dA_n` (Liu et al. 2021, section
3.1), summed over all layers that read the channel, since they share the factor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_compress.channel_pruning.gates import Site, find_sites, shadowed
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.engine.graph import trace_graph

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor

__all__ = ["SharedFactors"]


@keras.ops.custom_gradient
def _watch(x: Tensor, factor: Any) -> Any:
    def gradients(*args: Any, upstream: Any = None) -> Any:
        if upstream is None:
            (upstream,) = args
        product = keras.ops.cast(x * upstream, factor.dtype)
        axes = [a for a in range(1, len(x.shape)) if factor.shape[a] == 1]
        # The loss is a mean over samples; what is wanted is each sample's own.
        count = keras.ops.cast(keras.ops.shape(x)[0], factor.dtype)
        return upstream, count * keras.ops.sum(product, axis=axes, keepdims=True)

    return x, gradients


class SharedFactors:
    """Where the factors of some groups stand in a copy of their model.

    Args:
        groups: The groups.
        model: A copy of their model.

    Attributes:
        names: The groups that have factors: what is read within a layer, as heads and units of
            recurrent layers are, has none.
        count: Number of factors, a column for each channel of these groups.
    """

    def __init__(self, groups: ChannelGroups, model: keras.Model) -> None:
        analysis = groups.analysis
        of = analysis.components.of
        within = set()
        for record in analysis.records.values():
            made = {id(labels) for labels in record.produced.values()}
            for each in record.slices:
                if each.reads and id(each.labels) in made:
                    within |= set(of[each.labels].tolist())
        self.names = [n for n, g in groups.items() if not within & set(g.components.tolist())]
        self._columns: dict[str, slice] = {}
        column_of = np.full(int(of.max(initial=-1)) + 1, -1, np.int64)
        start = 0
        for name in self.names:
            self._columns[name] = slice(start, start + groups[name].size)
            column_of[groups[name].components] = start + np.arange(groups[name].size)
            start += groups[name].size
        self.count = start
        column_of[column_of < 0] = start
        counterparts = {
            id(node.operation): counterpart.operation
            for node, counterpart in zip(
                analysis.graph.walk(), trace_graph(model).walk(), strict=True
            )
        }
        sites, components = find_sites(groups)
        ends = np.concatenate([column_of[components], [start]])
        self._sites = [
            Site(counterparts[id(s.layer)], s.index, s.shape, ends[s.takes])
            for s in sites
            if (ends[s.takes] < start).any()
        ]

    def of_group(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return the entries of `values`, `(count,)`, that are of one group."""
        return values[self._columns[name]]

    @contextlib.contextmanager
    def watching(self, factors: Any) -> Iterator[None]:
        """Let the gradient by `factors`, `(samples, count)`, tell of what layers read."""
        rows = factors.shape[0]
        ends = [columns.stop for columns in self._columns.values()][:-1]

        def factor_of(site: Site, x: Tensor) -> Tensor:
            batch = keras.ops.shape(x)[0]
            for columns, part in zip(self._columns.values(), parts, strict=True):
                if np.array_equal(site.takes, np.arange(columns.start, columns.stop)):
                    found = part
                    break
            else:
                found = keras.ops.take(padded, site.takes, axis=1)
            found = found if x.shape[0] == rows else found[:batch]
            return _watch(x, keras.ops.reshape(found, (-1, *site.shape)))

        parts = keras.ops.split(factors, ends, axis=1)
        padded = keras.ops.concatenate([factors, keras.ops.ones((rows, 1))], axis=1)
        with shadowed(self._sites, factor_of):
            yield
