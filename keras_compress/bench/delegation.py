"""Which nodes of a model a delegate really took, as far as the runtime lets one see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_compress.tensor import Tensor


__all__ = ["describe_delegation"]


def describe_delegation(interpreter: Any, asked: str) -> dict[str, Any]:
    """Return the delegate asked for and the one really used, with node and partition counts.

    A runtime replaces what a delegate takes by nodes of its own, one a partition, and keeps the
    original nodes listed. The nodes of a partition are those between its results and its inputs.

    Args:
        interpreter: An interpreter with allocated tensors.
        asked: The delegate asked for, such as `"xnnpack"`.

    Returns:
        `asked`; `used`, which is `"none"` if no node was taken and `"unknown"` if the runtime
        does not tell; `nodes`, `delegated_nodes` and `partitions`, `None` where unknown.
    """
    try:
        operators = interpreter._get_ops_details()
        delegates = [op for op in operators if op["op_name"] == "DELEGATE"]
        nodes = [op for op in operators if op["op_name"] != "DELEGATE"]
        taken: set[int] = set()
        for delegate in delegates:
            taken |= _between(nodes, delegate["inputs"], delegate["outputs"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return {
            "asked": asked,
            "used": "unknown",
            "nodes": None,
            "delegated_nodes": None,
            "partitions": None,
        }
    return {
        "asked": asked,
        "used": asked if delegates else "none",
        "nodes": len(nodes),
        "delegated_nodes": len(taken),
        "partitions": len(delegates),
    }


def _between(nodes: list[dict[str, Any]], inputs: Tensor, outputs: Tensor) -> set[int]:
    producers = {
        int(tensor): number for number, node in enumerate(nodes) for tensor in node["outputs"]
    }
    stop = {int(tensor) for tensor in inputs}
    found: set[int] = set()
    waiting = [int(tensor) for tensor in outputs]
    while waiting:
        tensor = waiting.pop()
        number = producers.get(tensor)
        if tensor in stop or number is None or number in found:
            continue
        found.add(number)
        waiting.extend(int(t) for t in nodes[number]["inputs"])
    return found
