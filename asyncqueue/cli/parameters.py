"""What the values of options may look like."""

from __future__ import annotations

import math
from typing import Any

import click

from asyncqueue.durations import parse_duration


class Span(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - not in click 8.1
    """A duration: seconds, or text such as ``1h30m``."""

    name = "duration"

    def __init__(self, *, infinite: bool = False) -> None:
        self._infinite = infinite

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds, at least 0."""
        if isinstance(value, (int, float)):
            return float(value)
        if self._infinite and value.strip().lower() in ("inf", "none"):
            return math.inf
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is negative", param, ctx)
        return seconds


SPAN = Span()
SPAN_OR_NONE = Span(infinite=True)


class QueueSlots(click.ParamType):  # pyright: ignore[reportMissingTypeArgument] - as above
    """``emails``, ``high,default``, ``emails=4`` or ``emails=4,default``."""

    name = "queues"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, int | None]:
        """The names, each with its own slots or None."""
        if not isinstance(value, str):
            return value
        slots: dict[str, int | None] = {}
        for part in value.split(","):
            name, equals, number = (text.strip() for text in part.partition("="))
            if not name:
                self.fail(f"{value!r} has a queue without a name", param, ctx)
            if equals and not (number.isascii() and number.isdigit() and int(number) > 0):
                self.fail(f"{part.strip()!r}: slots are a whole number from 1 up", param, ctx)
            if name in slots:
                self.fail(f"{name!r} is named twice", param, ctx)
            slots[name] = int(number) if equals else None
        return slots


QUEUES = QueueSlots()
