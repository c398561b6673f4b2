"""What pruning and clustering share: finding weights, the two doors, copying models, reports.

* `weights`: which variables of a model are kernels, who owns them, what was left alone and why.
* `optimizer`: the callback's door; an optimizer that keeps weights on a constraint set.
* `wrapper`: the wrapper's door; a layer that runs another layer on substituted weights.
* `cloning`: copies of models with layers wrapped or unwrapped.
* `report`: the table every technique gives.
"""
