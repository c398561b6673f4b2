"""Small faults that can be planted in Python source, one at a time."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_COMPARISONS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATIONS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
_NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum",
    "maximum": "minimum", "floor": "ceil", "ceil": "floor", "argmin": "argmax", "argmax": "argmin",
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One change: the lines it touches, counted from 1, and the source with and without it."""

    line: int
    end_line: int
    before: str
    after: str
    source: str
    original: str


def faults_in(source: str) -> Iterator[Fault]:
    """Every fault for `source`; annotations, docstrings and errors' messages are left alone."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    encoded = source.encode()
    for node in _mutable(ast.parse(source)):
        first = starts[node.lineno - 1] + node.col_offset
        last = starts[node.end_lineno - 1] + node.end_col_offset
        before = encoded[first:last].decode()
        for changed in _changes(node):
            after = ast.unparse(ast.fix_missing_locations(changed))
            if isinstance(node, ast.expr):
                after = f"({after})"
            whole = (encoded[:first] + after.encode() + encoded[last:]).decode()
            yield Fault(node.lineno, node.end_lineno, before, after, whole, source)


def _mutable(node: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    """The nodes that a fault may be planted in, depth first."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from _mutable(child)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    def changed(change: Callable[[Any], None]) -> ast.AST:
        new = copy.deepcopy(node)
        change(new)
        return new

    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in _COMPARISONS:
            yield changed(lambda n: n.ops.__setitem__(0, _COMPARISONS[type(op)]()))
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _OPERATIONS:
            yield changed(lambda n: setattr(n, "op", _OPERATIONS[type(op)]()))
        case ast.BoolOp(op=op):
            new = ast.Or if isinstance(op, ast.And) else ast.And
            yield changed(lambda n: setattr(n, "op", new()))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield copy.deepcopy(operand)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            yield changed(lambda n: setattr(n.func, "id", _NAMES[name]))
        case ast.Call(func=ast.Attribute(attr=name)) if name in _NAMES:
            yield changed(lambda n: setattr(n.func, "attr", _NAMES[name]))
        case ast.IfExp():
            yield changed(lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test)))
        case (
            ast.Expr(value=ast.Call() | ast.Await())
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield ast.Pass()
