"""Text for people: stored text made harmless, durations and instants made short."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

_CONTROL: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_SPELLED: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_STEPS: Final = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def escaped(text: str, *, keep: str = "") -> str:
    """The text with its control characters spelled out, those in ``keep`` excepted.

    Names, ids and error texts come from outside: they must be able neither to begin a line of
    their own in a log nor to steer a terminal.
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _spell(match[0]), text)


def _spell(character: str) -> str:
    code = ord(character)
    return _SPELLED.get(character) or (f"\\u{code:04x}" if code >> 8 else f"\\x{code:02x}")


def duration(seconds: float | None) -> str:
    """``45 ms``, ``3 s``, ``5 min``, ``2.5 h``, ``7 d``; ``none`` where there is no bound."""
    if seconds is None or math.isinf(seconds):
        return "none"
    for size, unit in _STEPS:
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms" if 0 < seconds < 1 else f"{seconds:.3g} s"


def ago(moment: datetime | None) -> str:
    """How long ago that was, or how far ahead it is; ``-`` for never."""
    if moment is None:
        return "-"
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return f"in {duration(-seconds)}" if seconds < 0 else f"{duration(seconds)} ago"


def counted(number: int, noun: str) -> str:
    """``1 job``, ``3 jobs``, ``2 processes``, ``2 batches``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith(('s', 'ch')) else 's'}"


def shortened(text: str, width: int) -> str:
    """The text in one line of at most ``width`` characters."""
    line = escaped(text)
    return line if len(line) <= width else line[: width - 1] + "…"
