"""Channel pruning: find the channels that go together, choose, and remove them for good."""

from keras_compress.channel_pruning.attention import MSEB, ChannelAttention, add_attention, ucp
from keras_compress.channel_pruning.call import LayerCall, NotUnderstoodError
from keras_compress.channel_pruning.cap import cap
from keras_compress.channel_pruning.costs import ChannelCosts
from keras_compress.channel_pruning.criteria import (
    FPGM,
    L1,
    L2,
    BatchNormGamma,
    Criterion,
    Data,
    Fisher,
    GroupFisher,
    Random,
    Taylor,
)
from keras_compress.channel_pruning.explained_variance import ExplainedVariance
from keras_compress.channel_pruning.front import RateFront, RatePoint, search_rates
from keras_compress.channel_pruning.genetic import genetic
from keras_compress.channel_pruning.group import ChannelGroup, Frozen, Member
from keras_compress.channel_pruning.group_fisher_training import (
    GroupFisherTrainer,
    Removal,
    prune_while_training,
)
from keras_compress.channel_pruning.grouping import find_groups
from keras_compress.channel_pruning.groups import ChannelGroups
from keras_compress.channel_pruning.lasso import Lasso
from keras_compress.channel_pruning.plan import ChannelPlan
from keras_compress.channel_pruning.policy import ConditionalPolicy, search_policy
from keras_compress.channel_pruning.pruning import ChannelPruned, prune
from keras_compress.channel_pruning.reestimation import reestimate_statistics
from keras_compress.channel_pruning.registry import register_rule
from keras_compress.channel_pruning.report import ChannelReport, GroupReport
from keras_compress.channel_pruning.selection import select_greedily, select_uniformly
from keras_compress.channel_pruning.targets import Target

__all__ = [
    "FPGM",
    "L1",
    "L2",
    "MSEB",
    "BatchNormGamma",
    "ChannelAttention",
    "ChannelCosts",
    "ChannelGroup",
    "ChannelGroups",
    "ChannelPlan",
    "ChannelPruned",
    "ChannelReport",
    "ConditionalPolicy",
    "Criterion",
    "Data",
    "ExplainedVariance",
    "Fisher",
    "Frozen",
    "GroupFisher",
    "GroupFisherTrainer",
    "GroupReport",
    "Lasso",
    "LayerCall",
    "Member",
    "NotUnderstoodError",
    "Random",
    "RateFront",
    "RatePoint",
    "Removal",
    "Target",
    "Taylor",
    "add_attention",
    "cap",
    "find_groups",
    "genetic",
    "prune",
    "prune_while_training",
    "reestimate_statistics",
    "register_rule",
    "search_policy",
    "search_rates",
    "select_greedily",
    "select_uniformly",
    "ucp",
]
