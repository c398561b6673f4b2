"""Channel pruning: find the channels that go together, choose, and remove them for good."""

from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.groups import (
    ChannelGroup,
    ChannelGroups,
    Frozen,
    Member,
    find_groups,
)
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.registry import register_rule

__all__ = [
    "ChannelGroup",
    "ChannelGroups",
    "ChannelPlan",
    "Frozen",
    "LayerCall",
    "Member",
    "NotUnderstoodError",
    "find_groups",
    "register_rule",
]
