"""Small nets, each with a trap of its own for who follows channels."""

from tests.channel_pruning import image_nets, sequence_nets
from tests.channel_pruning.net_catalogue import (
    NETS,
    behind,
    chosen,
    image,
    random_masks,
    randomized,
    samples,
)

__all__ = [
    "NETS",
    "behind",
    "chosen",
    "image",
    "image_nets",
    "random_masks",
    "randomized",
    "samples",
    "sequence_nets",
]
