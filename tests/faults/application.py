"""What worker processes serve: ``python -m asyncqueue.worker tests.faults.application:queue``.

``FAULTS_SHIFT`` puts the wall clock of the process so many seconds ahead; with ``FAULTS_REPLAY``
settlements come several times. ``FAULTS_BESIDE`` is the URL by which its heartbeat reaches the
store, where that is another one.
"""

from __future__ import annotations

import os
import time

_shift = float(os.environ.get("FAULTS_SHIFT", "0"))
if _shift:  # Before anybody takes the function along.
    _real, _real_ns = time.time, time.time_ns
    time.time = lambda: _real() + _shift
    time.time_ns = lambda: _real_ns() + int(_shift * 1e9)

from asyncqueue import Queue, Settings  # noqa: E402 - the clock comes first

from . import linked_jobs as linked_jobs  # noqa: E402, PLC0414 - it registers its kinds
from .jobs import journal  # noqa: E402
from .witness import witness  # noqa: E402

queue = Queue.from_env()
witness(queue.driver, journal(), replay="FAULTS_REPLAY" in os.environ)

_beside = os.environ.get("FAULTS_BESIDE")
if _beside:
    _other = Queue(settings=Settings(url=_beside, prefix=queue.settings.prefix))
    queue.driver.clone = lambda: _other.driver  # type: ignore[method-assign]
