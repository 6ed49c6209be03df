"""Which files the demo indexes.

Distributions cut Python's standard library down, and leave its test data out in the first place:
what files it has too few of, the installed packages have; and what it should have that cannot be
indexed, :mod:`asyncqueue.demo.broken` has.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.demo.folder import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_TEXT_AND_SOURCE: Final = (
    ".bat .c .cfg .css .csv .dectest .h .html .in .ini .js .json .md .py .pyi .rst .sh .toml "
    ".txt .xml .yaml .yml"
)
SUFFIXES: Final = frozenset(_TEXT_AND_SOURCE.split())
"""What counts as text or source, in lower case."""
SKIPPED: Final = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages"})
LARGEST: Final = 2_000_000
"""Bytes; larger files are left out."""
ENOUGH: Final = 2000
"""Files below which those of further directories are added."""
_BROKEN_DATA: Final = ("lib2to3/tests/data/", "test/cjkencodings/", "test/tokenizedata/bad")


class Selection(msgspec.Struct, frozen=True):
    """What there is to index, and what was left out.

    The first directory is the root of the manifest; the paths of files of further ones are
    absolute.
    """

    directories: list[str]
    manifest: Manifest
    total_bytes: int
    beyond_limit: int
    too_large: int
    unnameable: int
    has_broken_data: bool
    """Whether the standard library is among it with its files that nobody can parse."""


def standard_library() -> Path:
    """The directory of Python's own standard library."""
    return Path(sysconfig.get_path("stdlib"))


def installed_packages() -> list[Path]:
    """Where packages are installed: those of this environment, then those of the Python below."""
    places = [sysconfig.get_path("purelib"), *site.getsitepackages()]
    places += site.getsitepackages([sys.base_prefix])
    return [path for path in map(Path, dict.fromkeys(places)) if path.is_dir()]


def select(root: Path, limit: int, further: Sequence[Path] = ()) -> Selection:
    """The first ``limit`` text and source files below ``root``, by path.

    As long as these are fewer than :data:`ENOUGH`, those of the next directory of ``further``.
    """
    search = _Search(root.absolute())
    library = list(search.found)
    for directory in further:
        if len(search.found) >= min(ENOUGH, limit):
            break
        search.add(directory.absolute())
    chosen = search.found[:limit]
    return Selection(
        [str(directory) for directory in search.directories],
        Manifest(str(search.root), [name for name, _ in chosen]),
        sum(size for _, size in chosen),
        len(search.found) - len(chosen),
        search.too_large,
        search.unnameable,
        any(name.startswith(_BROKEN_DATA) for name, _ in library),
    )


class _Search:
    """What was found so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directories: list[Path] = []
        self.found: list[tuple[str, int]] = []
        self.too_large = self.unnameable = 0
        self.add(root)

    def add(self, directory: Path) -> None:
        """Look below this directory, too."""
        found = sorted(self._fitting(_walk(directory)))
        if found or directory == self.root:
            self.directories.append(directory)
        self.found += found

    def _fitting(self, files: Iterable[tuple[Path, int]]) -> Iterator[tuple[str, int]]:
        for path, size in files:
            if size > LARGEST:
                self.too_large += 1
            elif not _is_utf8(str(path)):
                self.unnameable += 1
            elif path.is_relative_to(self.root):
                yield path.relative_to(self.root).as_posix(), size
            else:
                yield path.as_posix(), size


def _walk(root: Path) -> Iterator[tuple[Path, int]]:
    for directory, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for path in (Path(directory, name) for name in names):
            # A link may lead nowhere, and a file may vanish while this looks.
            if path.suffix.lower() in SUFFIXES and path.is_file():
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.stat().st_size


def _is_utf8(name: str) -> bool:
    # A file name may hold any bytes; JSON, by which the demo posts names, may not.
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
