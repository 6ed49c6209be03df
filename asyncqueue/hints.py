"""What the annotations of a function mean, each for itself."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any


def hints_of(function: Any) -> dict[str, Any]:
    """The annotations of a function, resolved.

    One whose names are only imported for type checkers stays the text that it is, and spoils
    none of the others.
    """
    names: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return {
        name: _resolved(hint, names) for name, hint in inspect.get_annotations(function).items()
    }


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union but for None; any other hint alone."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(member for member in typing.get_args(hint) if member is not types.NoneType)
    return (hint,)


def _resolved(hint: Any, names: dict[str, Any]) -> Any:
    holder = type("holder", (), {"__annotations__": {"hint": hint}})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["hint"]
    except (NameError, AttributeError, TypeError):
        return hint
