"""The names of the tables and indexes: checked once, quoted everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from asyncqueue.errors import ConfigError

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
SUFFIXES: Final = (
    "meta",
    "id",
    "ready",
    "delayed",
    "leased",
    "finished",
    "key",
    "called_off",
    "latch",
    "latches",
    "latches_id",
    "latches_over",
    "aside",
    "fair",
    "in_turn",
    "turns",
    "next_turn",
    "permits",
    "permit_end",
    "openings",
    "opening_at",
)
"""What the tables and indexes beside the jobs table add to its name."""
FAILED_SUFFIXES: Final = ("id", "finished", "latch")
"""The same for the failed table."""


@dataclass(frozen=True)
class Tables:
    """The two tables that a user may name. Raises ConfigError for names that cannot be used."""

    jobs: str
    failed: str

    def __post_init__(self) -> None:
        _check("table", self.jobs)
        _check("failed_table", self.failed)
        if self.failed.lower() in self._taken():
            raise ConfigError(
                f"failed_table={self.failed!r} is also used for table={self.jobs!r} and what "
                "belongs to it; give another name."
            )

    @property
    def meta(self) -> str:
        """The table that holds the schema version, the paused queues and the workers."""
        return f"{self.jobs}_meta"

    def quoted(self) -> dict[str, str]:
        """What the placeholders of the .sql files stand for."""
        names = {"jobs": self.jobs, "failed": self.failed}
        names |= {suffix: f"{self.jobs}_{suffix}" for suffix in SUFFIXES}
        names |= {f"failed_{suffix}": f"{self.failed}_{suffix}" for suffix in FAILED_SUFFIXES}
        return {placeholder: f'"{name}"' for placeholder, name in names.items()}

    def _taken(self) -> set[str]:
        return {self.jobs.lower()} | {f"{self.jobs}_{suffix}".lower() for suffix in SUFFIXES}


def _check(option: str, name: object) -> None:
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name):
        raise ConfigError(
            f"{option}={name!r} cannot name a table: give a letter or underscore, then at most "
            "62 letters, digits and underscores."
        )
    if name.lower().startswith("sqlite_"):
        raise ConfigError(f"{option}={name!r}: names that start with sqlite_ are SQLite's own.")
