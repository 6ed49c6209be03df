"""Topics of watches, as the texts of notifications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST: Final = 7900
"""Bytes of one text; the server takes fewer than 8000."""
MOST_TEXTS: Final = 16
EVERYTHING: Final = "*"
"""Stands for all topics, where they would be too many to name."""


class Told(msgspec.Struct, array_like=True):
    """What one notification says."""

    sender: str
    topics: list[str]


def texts(sender: str, topics: Iterable[str]) -> list[str]:
    """The notifications that name these topics."""
    parts: list[list[str]] = [[]]
    size = 0
    for topic in topics:
        length = 2 * len(topic.encode()) + 3  # JSON may double what it escapes.
        if length > LONGEST // 2:
            return [_text(sender, [EVERYTHING])]
        if size + length > LONGEST - 200:
            parts.append([])
            size = 0
        parts[-1].append(topic)
        size += length
    if len(parts) > MOST_TEXTS:
        return [_text(sender, [EVERYTHING])]
    return [_text(sender, part) for part in parts if part]


def read(text: str) -> Told:
    """What a notification says; whatever is not ours means everything."""
    try:
        return msgspec.json.decode(text, type=Told)
    except msgspec.DecodeError:
        return Told("", [EVERYTHING])


def _text(sender: str, topics: list[str]) -> str:
    return msgspec.json.encode(Told(sender, topics)).decode()
