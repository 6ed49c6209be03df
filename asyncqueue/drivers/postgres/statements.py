"""The SQL of this driver: one file per verb, with the names of the tables filled in."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncqueue.drivers.postgres.names import Tables

_TITLE: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *--.*\n", re.MULTILINE)
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_PARAMETER: Final = re.compile(r"(?<!:):(\w+)")
NOW: Final = "coalesce(:now::double precision, date_part('epoch', statement_timestamp()))"
"""The time: the server's own, unless a clock that is moved by hand tells another."""


class Statement(NamedTuple):
    """A statement as the server takes it: its parameters are ``$1``, ``$2``, in this order."""

    text: str
    parameters: tuple[str, ...]


class Statements:
    """Statements by ``verb.name``; see the files in ``sql/``."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._names = tables.quoted() | {"now": NOW}
        self._statements: dict[str, Statement] = {}

    def __getitem__(self, address: str) -> Statement:
        statement = self._statements.get(address)
        if statement is None:
            statement = self._statements[address] = numbered(self.text(address))
        return statement

    def titles(self, verb: str) -> list[str]:
        """The names of a verb's statements and pieces."""
        return list(_read(verb))

    def composed(self, address: str, mark: str, piece: str) -> Statement:
        """A statement whose ``{mark}`` is replaced by another one of the files."""
        key = f"{address}({piece})"
        if key not in self._statements:
            self._statements[key] = self.marked(address, {mark: self.text(piece)})
        return self._statements[key]

    def marked(self, address: str, marks: Mapping[str, str]) -> Statement:
        """A statement whose ``{marks}`` are replaced by pieces of SQL."""
        return numbered(self.text(address, marks))

    def text(self, address: str, marks: Mapping[str, str] | None = None) -> str:
        """A statement with all names, and its parameters as ``:name``."""
        verb, name = address.split(".")
        return self._fill(self._fill(_read(verb)[name], marks or {}), {})

    def script(self, text: str) -> dict[str, str]:
        """All statements of a text like that of the files, in its order."""
        return {name: self._fill(part, {}) for name, part in _parts(text).items()}

    def _fill(self, text: str, marks: Mapping[str, str]) -> str:
        names = {**self._names, **marks}
        return _PLACEHOLDER.sub(lambda match: names[match[1]], text)


def numbered(text: str) -> Statement:
    """Number the parameters of a text; one that stands there twice has one number."""
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    numbered_text = _PARAMETER.sub(number, text)
    return Statement(numbered_text, tuple(numbers))


@cache
def _read(verb: str) -> dict[str, str]:
    return _parts((files("asyncqueue.drivers.postgres") / "sql" / f"{verb}.sql").read_text("utf-8"))


def _parts(text: str) -> dict[str, str]:
    _, *parts = _TITLE.split(text)
    return {
        name: _COMMENT.sub("", body).strip().rstrip(";")
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
