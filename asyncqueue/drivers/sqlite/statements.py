"""The SQL of this driver: one file per verb, with the names of the tables filled in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from asyncqueue.drivers.sqlite.names import Tables

T = TypeVar("T")
_TITLE: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^--.*\n", re.MULTILINE)
_PLACEHOLDER: Final = re.compile(r"\{([\w.]+)\}")
LARGEST_CHUNK: Final = 256
"""Rows of one statement. Larger ones were not faster; SQLite's limit of variables is far."""


class Statements:
    """Statements by ``verb.name``; see the files in ``sql/``."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._names = tables.quoted()
        self._texts: dict[str, str] = {}
        self._bulk: dict[tuple[str, int, int], str] = {}

    def __getitem__(self, address: str) -> str:
        text = self._texts.get(address)
        if text is None:
            verb, name = address.split(".")
            text = self._texts[address] = self.fill(_read(verb)[name])
        return text

    def script(self, text: str) -> dict[str, str]:
        """All statements of a text like that of the files, in its order."""
        return {name: self.fill(part) for name, part in _parts(text).items()}

    def fill(self, text: str) -> str:
        """Put the quoted names of tables and indexes into a text, and other texts by address."""
        return _PLACEHOLDER.sub(lambda match: self._piece(match[1]), text)

    def _piece(self, name: str) -> str:
        return self[name] if "." in name else self._names[name]

    def marked(self, address: str, marks: Mapping[str, str]) -> str:
        """A statement whose ``:marks`` are replaced by pieces of SQL."""
        text = self[address]
        for mark, piece in marks.items():
            text = text.replace(f":{mark}", piece)
        return self.fill(text)

    def bulk(self, address: str, rows: int, columns: int) -> str:
        """A statement whose ``:rows`` is a list of that many rows of parameters."""
        key = (address, rows, columns)
        if key not in self._bulk:
            row = f"({', '.join('?' * columns)})"
            self._bulk[key] = self[address].replace(":rows", ", ".join([row] * rows))
        return self._bulk[key]


def in_chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into pieces whose lengths are powers of two.

    So there are few different statements, whatever the lengths, and all stay prepared.
    """
    start, size = 0, LARGEST_CHUNK
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


@cache
def _read(verb: str) -> dict[str, str]:
    return _parts((files("asyncqueue.drivers.sqlite") / "sql" / f"{verb}.sql").read_text("utf-8"))


def _parts(text: str) -> dict[str, str]:
    _, *parts = _TITLE.split(text)
    return {
        name: _COMMENT.sub("", body).strip().rstrip(";")
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
