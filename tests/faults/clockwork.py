"""What scheduler processes serve: ``asyncqueue schedule tests.faults.clockwork:scheduler``.

``FAULTS_SHIFT`` puts the wall clock ahead. With ``FAULTS_DIES`` the process is killed right before
or after it has stored the job of a slot: ``before 3`` is before the third one.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

from asyncqueue import Scheduler

from .application import queue
from .jobs import EVERY, Labour

if TYPE_CHECKING:
    from collections.abc import Callable

scheduler = Scheduler(queue)
scheduler.every("tick", EVERY, Labour(seconds=0))


def _dying(enqueue: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    calls = 0

    async def dying(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await enqueue(*given, **named)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return dying


if "FAULTS_DIES" in os.environ:
    _when, _number = os.environ["FAULTS_DIES"].split()
    _driver: Any = queue.driver
    _driver.enqueue = _dying(_driver.enqueue, _when, int(_number))
