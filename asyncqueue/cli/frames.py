"""Finds the user's own line in a traceback: what an error message should point at."""

from __future__ import annotations

import linecache
import sysconfig
import traceback
from pathlib import Path
from typing import Final

_PATHS: Final = sysconfig.get_paths()
_FOREIGN: Final = ("<frozen", _PATHS["stdlib"], _PATHS["platstdlib"], _PATHS["purelib"])
_OURS: Final = str(Path(__file__).resolve().parents[1])


def last_frame(error: BaseException) -> str | None:
    """``app/jobs.py:12 in load: raise ValueError``; None where no user code is involved."""
    if isinstance(error, SyntaxError) and error.filename:
        text = (error.text or "").strip()
        return f"{_relative(error.filename)}:{error.lineno}: {text}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _is_foreign(frame.filename):
            line = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f"{_relative(frame.filename)}:{frame.lineno} in {frame.name}: {line}"
    return None


def _is_foreign(filename: str) -> bool:
    resolved = filename if filename.startswith("<") else str(Path(filename).resolve())
    return filename.startswith(_FOREIGN) or resolved.startswith((*_FOREIGN, _OURS + "/"))


def _relative(filename: str) -> str:
    path = Path(filename).resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
