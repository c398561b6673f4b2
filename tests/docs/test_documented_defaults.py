"""A default that a docstring states is the one that the code has."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.test_public_api import PUBLIC

_ARGUMENT = re.compile(r"^    (\w+): ", re.M)
_DEFAULT = re.compile(r"Defaults\s+to\s+`([^`]+)`")


def _documented(function: Any) -> Iterator[tuple[str, Any]]:
    """Names and defaults in the `Args:` of a docstring, where the defaults are Python literals."""
    _, _, arguments = (inspect.getdoc(function) or "").partition("Args:\n")
    arguments = re.split(r"^\S", arguments, maxsplit=1, flags=re.M)[0]
    _, *parts = _ARGUMENT.split(arguments)
    for argument, description in zip(parts[::2], parts[1::2], strict=True):
        for said in _DEFAULT.findall(description):
            try:
                yield argument, ast.literal_eval(said)
            except (ValueError, SyntaxError):
                continue


def _functions(module: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in PUBLIC[module]:
        thing = getattr(importlib.import_module(module), name)
        if inspect.isclass(thing):
            yield name, thing
            for method, function in vars(thing).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{name}.{method}", function
        elif inspect.isfunction(thing):
            yield name, thing


@pytest.mark.parametrize("module", PUBLIC)
def test_documented_defaults(module: str) -> None:
    for name, function in _functions(module):
        for argument, said in _documented(function):
            # Keras gives its classes a `__new__` that takes everything.
            made_by = function.__init__ if inspect.isclass(function) else function
            parameters = inspect.signature(made_by).parameters
            if argument not in parameters:
                assert "kwargs" in parameters, f"{module}.{name} has no {argument}"
                continue
            found = parameters[argument].default
            # What has a name as a shortcut may be documented by it.
            if not isinstance(said, str) or isinstance(found, str):
                assert (argument, found) == (argument, said), f"{module}.{name}"
