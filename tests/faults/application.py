"""What worker processes serve: ``python -m asyncqueue.worker tests.faults.application:queue``.

``FAULTS_SHIFT`` puts the wall clock of the process so many seconds ahead, ``FAULTS_STEP`` sets it
forward by so many at each SIGUSR1; with ``FAULTS_REPLAY`` settlements come several times.
``FAULTS_BESIDE`` is the URL by which its heartbeat reaches the store, where that is another one.
"""

from __future__ import annotations

import os
import signal
import time

from asyncqueue import Queue, Settings
from asyncqueue.clock import SYSTEM_CLOCK, SystemClock

_ahead = [float(os.environ.get("FAULTS_SHIFT", "0"))]
_step = float(os.environ.get("FAULTS_STEP", "0"))
if _ahead[0] or _step:
    _real, _real_ns = time.time, time.time_ns
    time.time = lambda: _real() + sum(_ahead)
    time.time_ns = lambda: _real_ns() + int(sum(_ahead) * 1e9)
    # The command has imported this one long ago, and it has taken the function along.
    SystemClock.time = staticmethod(time.time)  # type: ignore[method-assign]
    assert abs(SYSTEM_CLOCK.time() - _real() - _ahead[0]) < 1.0
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: _ahead.append(_step))

from . import linked_jobs as linked_jobs  # noqa: PLC0414, E402 - it registers its kinds
from .jobs import journal  # noqa: E402
from .witness import witness  # noqa: E402

queue = Queue.from_env()
witness(queue.driver, journal(), replay="FAULTS_REPLAY" in os.environ)

_beside = os.environ.get("FAULTS_BESIDE")
if _beside:
    _other = Queue(settings=Settings(url=_beside, prefix=queue.settings.prefix))
    queue.driver.clone = lambda: _other.driver  # type: ignore[method-assign]
