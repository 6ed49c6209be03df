"""The names of the schema, tables and indexes: checked once, quoted everywhere."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final

from asyncqueue.errors import ConfigError

SUFFIXES: Final = (
    "meta",
    "pkey",
    "id",
    "ready",
    "delayed",
    "leased",
    "finished",
    "key",
    "called_off",
    "latches",
    "latch",
    "latch_over",
    "restricted",
    "aside",
    "permits",
    "permit_end",
    "openings",
    "opening_at",
)
"""What the table and indexes beside the jobs table add to its name."""
FAILED_SUFFIXES: Final = ("seq", "finished", "latch")
LONGEST: Final = 63
"""PostgreSQL cuts longer names off, without a word."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_SCHEMA: Final = ("jobs", "failed", "meta", "latches", "permits", "openings")


@dataclass(frozen=True)
class Tables:
    """The names that a user may give. Raises ConfigError for those that cannot be used."""

    schema: str
    jobs: str
    failed: str

    def __post_init__(self) -> None:
        _check("schema", self.schema, 0)
        _check("table", self.jobs, 1 + max(map(len, SUFFIXES)))
        _check("failed_table", self.failed, 1 + max(map(len, FAILED_SUFFIXES)))
        taken = {self.jobs, *(f"{self.jobs}_{suffix}" for suffix in SUFFIXES)}
        if taken & {self.failed, *(f"{self.failed}_{suffix}" for suffix in FAILED_SUFFIXES)}:
            raise ConfigError(
                f"failed_table={self.failed!r} is also used for table={self.jobs!r} and what "
                "belongs to it; give another name."
            )

    @property
    def meta(self) -> str:
        """The table that holds the schema version, the paused queues and the workers."""
        return f"{self.jobs}_meta"

    @property
    def lock(self) -> int:
        """The number of the advisory lock under which the tables are created."""
        return 0x61737100_00000000 | zlib.crc32(f"{self.schema}.{self.jobs}".encode())

    @property
    def family(self) -> int:
        """The number that the advisory locks of permits and turns have in common."""
        return zlib.crc32(f"{self.schema}.{self.jobs}".encode()) - 2**31

    @property
    def channel(self) -> str:
        """The channel of their notifications."""
        return f"asyncqueue_{zlib.crc32(f'{self.schema}.{self.jobs}'.encode()):08x}"

    def qualified(self, which: str) -> str:
        """The quoted name of a table with its schema."""
        return f'"{self.schema}"."{self._names()[which]}"'

    def quoted(self) -> dict[str, str]:
        """What the placeholders of the .sql files stand for."""
        bare = {which: f'"{name}"' for which, name in self._names().items()}
        tables = {which: self.qualified(which) for which in _IN_SCHEMA}
        return bare | tables | {"schema": f'"{self.schema}"'}

    def _names(self) -> dict[str, str]:
        names = {"jobs": self.jobs, "failed": self.failed}
        names |= {suffix: f"{self.jobs}_{suffix}" for suffix in SUFFIXES}
        return names | {f"failed_{suffix}": f"{self.failed}_{suffix}" for suffix in FAILED_SUFFIXES}


def _check(option: str, name: object, longer: int) -> None:
    most = LONGEST - longer
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or len(name) > most:
        raise ConfigError(
            f"{option}={name!r} cannot be used as a name: give a letter or underscore, then "
            f"letters, digits and underscores, at most {most} in all."
        )
    if option == "schema" and name.lower().startswith("pg_"):
        raise ConfigError(f"{option}={name!r}: names that start with pg_ are PostgreSQL's own.")
