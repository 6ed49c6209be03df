"""Everything that one demo leaves on disk, in one directory that its processes share."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from asyncqueue.errors import ConfigError

VARIABLE: Final = "ASYNCQUEUE_DEMO"
"""The environment variable by which the demo tells its processes their directory."""

_TABLES: Final = """
CREATE TABLE file_index (
    path TEXT PRIMARY KEY, sha256 TEXT, bytes INT, lines INT, words INT, tokens INT
);
CREATE TABLE report (
    id INT PRIMARY KEY, completed INT, failed INT, files INT, bytes INT, lines INT, words INT
);"""


class Manifest(msgspec.Struct, frozen=True):
    """Which files are to be indexed: paths below ``root``, or absolute ones."""

    root: str
    paths: list[str]


class Folder:
    """The directory: the database, the journal, the manifest, a lock, the logs, broken files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.database = self.directory / "queue.db"
        self.journal = self.directory / "journal.jsonl"
        self.large_file_lock = self.directory / "large-file.lock"
        self.broken = self.directory / "broken"
        self._manifest = self.directory / "files.json"

    @classmethod
    def from_env(cls) -> Folder:
        """The directory that the demo gave this process; ``ConfigError`` outside of a demo."""
        directory = os.environ.get(VARIABLE)
        if not directory:
            raise ConfigError(
                f"{VARIABLE} is not set; this module is a part of `python -m asyncqueue demo`."
            )
        return cls(Path(directory))

    @property
    def url(self) -> str:
        """The URL of the queue."""
        return "sqlite:///" + quote(str(self.database))

    @property
    def manifest(self) -> Manifest:
        """What :meth:`prepare` wrote down."""
        return msgspec.json.decode(self._manifest.read_bytes(), type=Manifest)

    def prepare(self, manifest: Manifest) -> None:
        """Write the manifest down and create the tables for the results."""
        self._manifest.write_bytes(msgspec.json.encode(manifest))
        self.journal.touch()
        self.large_file_lock.touch()
        with closing(self.connect()) as connection:
            connection.executescript(_TABLES)

    def connect(self) -> sqlite3.Connection:
        """A connection of one's own to the database, beside the queue's."""
        return sqlite3.connect(self.database, timeout=10, isolation_level=None)

    def log(self, name: str) -> Path:
        """Where the process of this name writes its output."""
        return self.directory / f"{name.replace(' ', '-')}.log"
