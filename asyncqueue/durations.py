"""Durations: float seconds or ``timedelta`` in code, strings with a unit in configuration."""

from __future__ import annotations

import math
import re
from datetime import timedelta

Duration = float | timedelta
"""Seconds, or a ``timedelta``."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def to_seconds(value: Duration, what: str = "duration") -> float:
    """The duration in seconds.

    Raises ``TypeError`` for anything but a number or ``timedelta`` and ``ValueError`` for
    NaN; ``what`` names the value in the message.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what} must be seconds or a timedelta, got {value!r}")
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError(f"{what} is a number that no clock counts to") from None
    if math.isnan(seconds):
        raise ValueError(f"{what} must be seconds or a timedelta, got NaN")
    return seconds


def to_finite_seconds(value: Duration, what: str = "duration") -> float:
    """As :func:`to_seconds`; also refuses infinity."""
    seconds = to_seconds(value, what)
    if math.isinf(seconds):
        raise ValueError(f"{what} must be finite, got {value!r}")
    return seconds


def parse_duration(text: str) -> float:
    """Seconds from configuration text: ``"5"``, ``"100ms"``, ``"1h30m"``, ``"7d"``.

    Raises ``ValueError`` when the text is none of these.
    """
    compact = text.strip().lower()
    try:
        seconds = float(compact)
    except ValueError:
        seconds = _from_parts(compact)
    if not math.isfinite(seconds):
        raise ValueError(f'{text!r} is not a duration such as 5, "100ms" or "1h30m"')
    return seconds


def _from_parts(text: str) -> float:
    """The sum of the parts; NaN when this is no series of numbers with units."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return math.nan
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
