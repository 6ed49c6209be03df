"""Which file, and how it is used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from asyncqueue.errors import ConfigError

Synchronous = Literal["OFF", "NORMAL", "FULL", "EXTRA"]
LEVELS: Final = get_args(Synchronous)


@dataclass(frozen=True)
class Place:
    """A database file. Raises ConfigError for settings that cannot be meant."""

    path: Path
    synchronous: Synchronous
    patience: float
    """Seconds to wait for a lock."""

    def __post_init__(self) -> None:
        if self.synchronous not in LEVELS:
            raise ConfigError(
                f"synchronous={self.synchronous!r} is not known; give one of {', '.join(LEVELS)}."
            )
        if not self.patience >= 0:
            raise ConfigError(f"busy_timeout={self.patience!r} must be 0 seconds or more.")


def file_path(path: str | Path) -> Path:
    """The path of a database, made absolute: a later change of directory must not move it."""
    if str(path) in ("", ":memory:"):
        raise ConfigError(
            f"path={str(path)!r} is not a file, so no other connection would see its jobs; "
            "use memory:// or give the path of a file."
        )
    return Path(path).absolute()
