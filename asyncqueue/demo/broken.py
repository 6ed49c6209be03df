"""Files that nobody can parse, for standard libraries that come without theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FILES: Final = {
    "no_coding_cookie.py": b'name = "caf\xe9"\n',
    "not_utf8.txt": b"caf\xe9\n",
    "null_bytes.py": b"value = 1\x00\n",
    "python2_exec.py": b'exec "print 1" in {}\n',
    "python2_print.py": b'print "hello"\n',
    "unknown_coding.py": b"# -*- coding: uft-8 -*-\nvalue = 1\n",
    "unterminated_string.py": b'text = "without an end\n',
}
COUNT: Final = len(_FILES)


def write(directory: Path) -> list[str]:
    """Write them into a new directory; answers their absolute paths."""
    directory.mkdir()
    for name, content in _FILES.items():
        (directory / name).write_bytes(content)
    return [str(directory / name) for name in _FILES]
