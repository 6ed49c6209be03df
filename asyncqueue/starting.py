"""The first moments of ``asyncqueue worker``, before its command line is imported.

Whichever way it is started, Python imports the package with all that it needs before a line of
the command runs. A signal in these tenths of a second would end the process by Python's own
means: a traceback, or a death by signal that looks like a crash. Nothing was started yet, so
it is a clean end. What stays out of reach is the start of Python itself.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

COMMAND: Final = "asyncqueue"


def starts_worker(argv: list[str], whole: list[str]) -> bool:
    """Whether this process is the command, judged by ``sys.argv`` and ``sys.orig_argv``.

    While ``python -m`` imports the packages around a module, ``sys.argv`` begins with ``-m``.
    """
    if not argv or len(whole) < len(argv):
        return False
    module = whole[-len(argv)].removeprefix("-m") if argv[0] == "-m" else ""
    if module == f"{COMMAND}.worker":
        return True
    program = module or os.path.basename(argv[0])  # noqa: PTH119 - pathlib takes its time
    return program == COMMAND and argv[1:2] == ["worker"]


def end_cleanly(number: int, _frame: object) -> None:
    """End the process with exit code 0, in the middle of whatever is being imported."""
    text = f"{signal.Signals(number).name}: stopped before the worker started\n"
    try:
        os.write(2, text.encode())
    finally:
        os._exit(0)


if starts_worker(sys.argv, sys.orig_argv):
    for _number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(_number, end_cleanly)
