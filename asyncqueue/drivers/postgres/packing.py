"""Columns of bulk statements, packed: asyncpg takes a microsecond for each element of an array."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
SEPARATOR: Final = "\x1f"
"""As the statements have it."""


def packed(texts: Sequence[str]) -> str | None:
    """One text for ``string_to_array``; None where that would give others than these."""
    text = SEPARATOR.join(texts)
    return text if text and text.count(SEPARATOR) == len(texts) - 1 else None


def literal(numbers: Iterable[int]) -> str:
    """The text of an array."""
    return f"{{{','.join(map(str, numbers))}}}"


def alike(values: list[T]) -> tuple[list[T] | None, T | None]:
    """A column, and the value of all rows: one of the two is None."""
    first = values[0]
    return (None, first) if values.count(first) == len(values) else (values, None)


def blob(values: Sequence[bytes]) -> tuple[bytes, str]:
    """All in one, and where each ends, after a 0."""
    return b"".join(values), literal(accumulate(map(len, values), initial=0))
