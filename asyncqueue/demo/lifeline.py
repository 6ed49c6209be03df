"""Children of the demo end when the demo is gone, even if it was killed and could not tell them."""

from __future__ import annotations

import os
import signal
import threading
from typing import Final

VARIABLE: Final = "ASYNCQUEUE_DEMO_LIFELINE"
"""Set for children whose standard input is a pipe that the demo holds and never writes to."""


def follow_parent() -> None:
    """Ask this process to stop once the other end of its standard input is closed."""
    if VARIABLE in os.environ:
        threading.Thread(target=_await_end, name="demo-lifeline", daemon=True).start()


def _await_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
