"""What commands print: aligned tables for people, one JSON document for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from asyncqueue.cli.text import escaped, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDEST = 60
"""Characters of one cell of a table."""


class Output:
    """Prints the answer of a command, in one of two forms."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def table(
        self, fact: Any, headings: Sequence[str], rows: Sequence[Sequence[object]], empty: str
    ) -> None:
        """``fact`` as JSON, or ``rows`` under ``headings``; ``empty`` where there are none."""
        if self.as_json:
            self._json(fact)
        elif not rows:
            click.echo(empty)
        else:
            click.echo("\n".join(aligned(headings, rows)))

    def pairs(self, fact: Any, pairs: Sequence[tuple[str, str]]) -> None:
        """``fact`` as JSON, or names and values below each other."""
        if self.as_json:
            self._json(fact)
            return
        width = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            first, *more = escaped(value, keep="\n").split("\n")
            click.echo(f"{name:<{width}}  {first}".rstrip())
            for line in more:
                click.echo(f"{'':<{width}}  {line}".rstrip())

    def block(self, fact: Any, text: str) -> None:
        """``fact`` as JSON, or lines of our own making."""
        if self.as_json:
            self._json(fact)
        else:
            click.echo(text)

    def line(self, fact: Any, text: str) -> None:
        """``fact`` as JSON, or a sentence."""
        if self.as_json:
            self._json(fact)
        else:
            click.echo(escaped(text))

    def note(self, text: str) -> None:
        """A remark for people, beside the answer."""
        if not self.as_json:
            click.echo(escaped(text), err=True)

    @staticmethod
    def _json(fact: Any) -> None:
        click.echo(msgspec.json.format(encoded(fact), indent=2))


def encoded(fact: Any) -> bytes:
    """As JSON; what JSON has no form for becomes text."""
    try:
        return msgspec.json.encode(fact, enc_hook=str)
    except (TypeError, ValueError):
        return msgspec.json.encode(_plain(fact))


def _plain(fact: Any) -> Any:
    """The same with whatever cannot be encoded as text: broken characters, odd keys."""
    whole: Any = fact
    if isinstance(fact, msgspec.Struct):
        return _plain(msgspec.structs.asdict(fact))
    if isinstance(fact, dict):
        return {_plain_text(key): _plain(value) for key, value in whole.items()}
    if isinstance(fact, (list, tuple)):
        return [_plain(item) for item in whole]
    if fact is None or isinstance(fact, (bool, int, float)):
        return fact
    return _plain_text(fact)


def _plain_text(value: Any) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def aligned(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table."""
    cells = [[shortened(_cell(value), WIDEST) for value in row] for row in rows]
    numeric = [all(_is_number(row[at]) for row in rows) for at in range(len(headings))]
    widths = [
        max(len(heading), *(len(row[at]) for row in cells)) for at, heading in enumerate(headings)
    ]
    return [_line(row, widths, numeric) for row in (list(headings), *cells)]


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:,}" if _is_number(value) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
