"""How a worker process logs: lines for people, or JSON for programs, on stderr."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from asyncqueue.cli.output import encoded
from asyncqueue.cli.text import escaped

LogFormat = Literal["text", "json"]
_STANDARD: Final = frozenset(
    logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName", "color_message"}
)
_GLYPHS: Final = {
    logging.DEBUG: ("2", "·"),
    logging.INFO: ("32", "✓"),
    logging.WARNING: ("33", "!"),
    logging.ERROR: ("31", "✗"),
    logging.CRITICAL: ("31", "✗"),
}


class TextFormatter(logging.Formatter):
    """``12:30:01.123 WARNING message``; on a terminal a coloured glyph stands for the level.

    A record is one line whatever its message contains; the lines of a traceback are indented,
    so that none can be taken for a record.
    """

    def __init__(self, *, glyphs: bool = False) -> None:
        super().__init__()
        self._glyphs = glyphs

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of the traceback."""
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = (
            f"{moment}.{int(record.msecs):03d} {self._level(record)} "
            f"{_whose(record)}{escaped(record.getMessage())}"
        )
        return line + "".join(f"\n    {part}" for part in _traceback(self, record))

    def _level(self, record: logging.LogRecord) -> str:
        if not self._glyphs or record.levelno not in _GLYPHS:
            return f"{record.levelname:<7}"
        colour, glyph = _GLYPHS[record.levelno]
        return f"\x1b[{colour}m{glyph}\x1b[0m"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what the record carries.

    ``job_id``, ``job_name``, ``queue``, ``attempt`` and ``trace_id`` where it is about a job,
    ``exc_info`` where there is an exception, and whatever was given as ``extra``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fact: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in fact:
                fact[name] = value
        if record.exc_info and record.exc_info[0] is not None:
            fact["exc_info"] = self.formatException(record.exc_info)
        return encoded(fact).decode()


def set_up(log_format: LogFormat, level: str) -> None:
    """Show the logs of this process on stderr; an application may replace that when imported."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(glyphs=shows_glyphs(sys.stderr)))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    # They tell of every change of a file, and of which kind of loop is in use.
    for chatty in ("watchfiles", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def shows_glyphs(stream: TextIO) -> bool:
    """Whether this is a terminal that shows colours and these characters."""
    if not stream.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return False
    try:
        "✓✗·".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _whose(record: logging.LogRecord) -> str:
    """Which job a line of a handler's own logger is about; the worker's own lines say so."""
    if record.name != "asyncqueue.job" or not hasattr(record, "job_id"):
        return ""
    name, id = getattr(record, "job_name", ""), getattr(record, "job_id", "")
    return escaped(f"{name} {id}: ")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    return [escaped(line) for line in formatter.formatException(record.exc_info).splitlines()]
