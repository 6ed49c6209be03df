"""Where a worker logs: to the given logger, or so that nobody misses an error."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO

_METHODS: Final = ("info", "warning", "error", "exception", "critical", "log", "isEnabledFor")
"""What a worker calls of its logger."""


def worker_log(given: logging.Logger | None) -> logging.Logger:
    """The logger of a worker.

    Without one it is ``asyncqueue.worker``; errors are then shown on stderr as well, with one
    warning that no logger is set, unless the application shows its logs on a console already.
    Raises ``TypeError`` for what cannot log.
    """
    if given is not None:
        if any(not callable(getattr(given, method, None)) for method in _METHODS):
            raise TypeError(f"logger must be a logging.Logger, got {given!r}; logging.getLogger(…)")
        return given
    log = logging.getLogger("asyncqueue.worker")
    for handler in log.handlers:
        if isinstance(handler, _Stderr):
            log.removeHandler(handler)
    log.addHandler(_Stderr())
    return log


class _Stderr(logging.Handler):
    """Shows errors on whatever is ``sys.stderr`` at that moment."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._warned = False

    def emit(self, record: logging.LogRecord) -> None:
        if _shown_elsewhere():
            return
        try:
            self._warn_once(sys.stderr)
            sys.stderr.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - logging's own way with a failing handler
            self.handleError(record)

    def _warn_once(self, stream: TextIO) -> None:
        if not self._warned:
            self._warned = True
            stream.write(
                "WARNING asyncqueue: no logger is set, errors are shown here; "
                "give Worker(logger=...) or configure logging\n"
            )


def _shown_elsewhere() -> bool:
    console = [
        stream
        for stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
        if stream is not None
    ]
    return any(
        getattr(handler, "stream", None) in console for handler in logging.getLogger().handlers
    )
