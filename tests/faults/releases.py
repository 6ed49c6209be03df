"""Two releases of one application: ``python -m asyncqueue.worker tests.faults.releases:worker``.

``FAULTS_RELEASE`` says which one, ``old`` or ``new``. With ``FAULTS_UNKNOWN`` its worker hands back
what it does not know, for so many seconds.
"""

from __future__ import annotations

import asyncio
import os

from asyncqueue import Context, Job, Worker
from asyncqueue.execution import runner

from .application import queue
from .jobs import noted
from .scene import LEASE

if os.environ["FAULTS_RELEASE"] == "new":
    from . import newcomers as newcomers  # noqa: PLC0414 - it registers its kinds
else:

    class Reshaped(Job, name="FaultReshaped", timeout=120):
        """As it was in the older release."""

        number: int

        async def handle(self, ctx: Context) -> int:
            with noted(ctx):
                await asyncio.sleep(0.01)
                return self.number


_delay = os.environ.get("FAULTS_UNKNOWN")
if _delay is not None:
    runner.UNKNOWN_DELAY = float(_delay)  # type: ignore[misc]
worker = Worker(queue, lease=LEASE, unknown_jobs="fail" if _delay is None else "release")
