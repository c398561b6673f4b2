"""What pruning and clustering share: finding weights, constraining them, wrapping layers, reports.

* `weights`: which variables of a model are kernels, who owns them, what was left alone and why.
* `optimizer`: what callbacks work through: an optimizer that keeps weights on a constraint set.
* `wrapper`: the base of the wrappers: a layer that runs another layer on substituted weights.
* `cloning`: copies of models with layers wrapped or unwrapped.
* `technique`, `lifecycle`: preparing, finalizing and reporting, chosen by the kind of the settings.
* `report`, `effects`: the table every technique gives, and what it is made from.
* `frozen`: settings as frozen dataclasses that serialize.
"""
