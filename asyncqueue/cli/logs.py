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
from asyncqueue.record import State

LogFormat = Literal["text", "json"]
_STANDARD: Final = frozenset(
    logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName", "color_message"}
)
_GLYPHS: Final = {
    logging.DEBUG: ("2", "·"),
    logging.INFO: ("36", "·"),
    logging.WARNING: ("33", "!"),
    logging.ERROR: ("31", "✗"),
    logging.CRITICAL: ("31", "✗"),
}
_OUTCOMES: Final = {
    State.COMPLETED: ("32", "✓"),
    State.DELAYED: ("33", "↻"),
    State.FAILED: ("31", "✗"),
}


class TextFormatter(logging.Formatter):
    """``12:30:01.123 WARNING message``; on a terminal a coloured glyph stands for the level.

    A record is one line whatever its message contains; the lines of a traceback are indented,
    so that none can be taken for a record.
    """

    def __init__(self, *, glyphs: bool = False) -> None:
        super().__init__()
        self._glyphs = glyphs
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of the traceback."""
        line = (
            f"{self._moment(record)} {self._level(record)} "
            f"{_whose(record)}{escaped(record.getMessage())}"
        )
        if record.exc_info and record.exc_info[0] is not None:
            trace = self.formatException(record.exc_info)
            return "\n    ".join([line, *map(escaped, trace.splitlines())])
        return line

    def _moment(self, record: logging.LogRecord) -> str:
        second, text = self._second
        if second != int(record.created):
            second = int(record.created)
            text = time.strftime("%H:%M:%S", time.localtime(second))
            self._second = (second, text)
        return f"{text}.{int(record.msecs):03d}"

    def _level(self, record: logging.LogRecord) -> str:
        if not self._glyphs:
            return f"{record.levelname:<7}"
        outcome = _OUTCOMES.get(getattr(record, "outcome", None))  # pyright: ignore[reportArgumentType]
        colour, glyph = outcome or _GLYPHS.get(record.levelno, ("0", record.levelname))
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
        "✓✗↻·".encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _whose(record: logging.LogRecord) -> str:
    """Which job a line of a handler's own logger is about; the worker's own lines say so."""
    if record.name != "asyncqueue.job" or not hasattr(record, "job_id"):
        return ""
    name, id = getattr(record, "job_name", ""), getattr(record, "job_id", "")
    return escaped(f"{name} {id}: ")
