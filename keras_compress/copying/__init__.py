"""Copies of layers and models that compute what the original computes.

Used before, in and after a training, so nothing here knows of techniques or of exporting.

* `layer_copy`: one layer, with functions and classes that its configuration can't hold.
* `layer_state`: what a layer has learned or been told beside its configuration and variables.
* `graph_copy`: the graph of a model: ties, frozen parts, nested models and its class.
"""
