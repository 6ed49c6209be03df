"""What worker processes serve: ``python -m asyncqueue.worker tests.faults.application:queue``.

``FAULTS_SHIFT`` puts the wall clock of the process so many seconds ahead, ``FAULTS_CLOCK`` as many
as stand in that file at the moment; with ``FAULTS_REPLAY`` settlements come several times.
``FAULTS_BESIDE`` is the URL by which its heartbeat reaches the store, where that is another one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from asyncqueue import Queue, Settings
from asyncqueue.clock import SYSTEM_CLOCK, SystemClock

from .clock_file import ClockFile

_shift = float(os.environ.get("FAULTS_SHIFT", "0"))
_clock = os.environ.get("FAULTS_CLOCK")
if _shift or _clock:
    _real, _real_ns = time.time, time.time_ns
    _ahead = (lambda: _shift) if _clock is None else ClockFile(Path(_clock)).ahead
    time.time = lambda: _real() + _ahead()
    time.time_ns = lambda: _real_ns() + int(_ahead() * 1e9)
    # The command has imported this one long ago, and it has taken the function along.
    SystemClock.time = staticmethod(time.time)  # type: ignore[method-assign]
    assert abs(SYSTEM_CLOCK.time() - _real() - _ahead()) < 1.0

from . import contended_jobs as contended_jobs  # noqa: PLC0414, E402 - it registers its kinds
from . import linked_jobs as linked_jobs  # noqa: PLC0414, E402
from .jobs import journal  # noqa: E402
from .witness import witness  # noqa: E402

queue = Queue.from_env()
witness(queue.driver, journal(), replay="FAULTS_REPLAY" in os.environ)

_beside = os.environ.get("FAULTS_BESIDE")
if _beside:
    _other = Queue(settings=Settings(url=_beside, prefix=queue.settings.prefix))
    queue.driver.clone = lambda: _other.driver  # type: ignore[method-assign]
