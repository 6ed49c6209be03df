"""What the index knows of a file."""

from __future__ import annotations

import fcntl
import hashlib
import io
import tokenize
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

LARGE: Final = 100_000
"""Bytes from which on a Python file is large: compiling takes many times as much memory."""


class Measures(msgspec.Struct, frozen=True):
    """The facts about one file. ``tokens`` is 0 for what is not Python."""

    sha256: str
    bytes: int
    lines: int
    words: int
    tokens: int = 0


def measure(path: Path, large_file_lock: Path) -> Measures:
    """Read a file and measure it.

    Large Python files are compiled one at a time, over all processes, so that memory stays
    bounded. ``BlockingIOError``: another one is being compiled. ``UnicodeDecodeError``,
    ``SyntaxError`` and ``ValueError``: this is not the text or the Python that it should be.
    """
    content = path.read_bytes()
    if path.suffix not in {".py", ".pyi"}:
        return _measures(content, content.decode())
    if len(content) < LARGE:
        return _measure_python(content)
    with _held(large_file_lock):
        return _measure_python(content)


def _measure_python(content: bytes) -> Measures:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    text = content.decode(encoding)
    # Not ast.parse: two of them at once, in two threads, trip over each other in Python 3.11.
    compile(content, "file", "exec", dont_inherit=True)
    tokens = sum(1 for _ in tokenize.tokenize(io.BytesIO(content).readline))
    return _measures(content, text, tokens)


def _measures(content: bytes, text: str, tokens: int = 0) -> Measures:
    digest = hashlib.sha256(content).hexdigest()
    return Measures(digest, len(content), text.count("\n"), len(text.split()), tokens)


@contextmanager
def _held(lock: Path) -> Generator[None]:
    # The kernel lets go of it when the process dies, however that happens.
    with lock.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
