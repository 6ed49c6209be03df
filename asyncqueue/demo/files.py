"""Which files the demo indexes."""

from __future__ import annotations

import contextlib
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.demo.folder import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEXT_AND_SOURCE: Final = (
    ".bat .c .cfg .css .csv .dectest .h .html .in .ini .js .json .md .py .pyi .rst .sh .toml "
    ".txt .xml .yaml .yml"
)
SUFFIXES: Final = frozenset(_TEXT_AND_SOURCE.split())
"""What counts as text or source, in lower case."""
SKIPPED: Final = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages"})
LARGEST: Final = 2_000_000
"""Bytes; larger files are left out."""


class Selection(msgspec.Struct, frozen=True):
    """What there is to index, and what was left out."""

    manifest: Manifest
    total_bytes: int
    beyond_limit: int
    too_large: int
    unnameable: int


def standard_library() -> Path:
    """The directory of Python's own standard library."""
    return Path(sysconfig.get_path("stdlib"))


def select(root: Path, limit: int) -> Selection:
    """The first ``limit`` text and source files below ``root``, by path."""
    root = root.absolute()
    found: list[tuple[str, int]] = []
    too_large = unnameable = 0
    for path, size in _walk(root):
        if size > LARGEST:
            too_large += 1
        elif not _is_utf8(str(path)):
            unnameable += 1
        else:
            found.append((path.relative_to(root).as_posix(), size))
    found.sort()
    chosen = found[:limit]
    return Selection(
        Manifest(str(root), [name for name, _ in chosen]),
        sum(size for _, size in chosen),
        len(found) - len(chosen),
        too_large,
        unnameable,
    )


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
