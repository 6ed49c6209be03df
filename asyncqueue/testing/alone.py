"""Running one handler by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.queue import Queue
from asyncqueue.record import Source
from asyncqueue.testing.attempt import Attempt
from asyncqueue.testing.by_hand import Hand
from asyncqueue.testing.fakes import FakeQueue
from asyncqueue.testing.pushed import Wanted, check_times, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncqueue.job import Job
    from asyncqueue.testing.pushed import Kind, Pushed


class JobRun(Attempt, frozen=True, kw_only=True):
    """How a job ran alone.

    ``dispatched`` recorded what its handler dispatched, ``added`` are the jobs among it that went
    into the batch of the job.
    """

    dispatched: FakeQueue
    added: tuple[Pushed[Any], ...] = ()

    def assert_added_to_batch(self, kind: Kind, *, times: int | None = None) -> None:
        """The handler added such a job to its batch: at least once, or exactly so often."""
        __tracebackhide__ = True
        check_times(times)
        found = len(Wanted(kind).among(self.added))
        if found == times or (times is None and found):
            return
        raise AssertionError(
            f"{Wanted(kind)} should have been added to the batch of {self._subject()}; "
            f"times: {found}.\n{listing(self.added)}"
        )


async def run_job(
    job: Job,
    *,
    attempt: int = 1,
    services: Sequence[Any] | Mapping[str, Any] = (),
    middleware: Sequence[Callable[..., Any]] = (),
    in_batch: bool = False,
    dispatched: FakeQueue | None = None,
) -> JobRun:
    """Run one attempt of a job by itself and answer how it ended.

    For example::

        ran = await run_job(SendWelcome(user_id=1), attempt=2, services=[mailer])
        ran.assert_completed("sent")
        ran.dispatched.assert_pushed(Followed)

    Its own options apply: middleware, timeout, backoff, ``should_retry``, number of attempts,
    and ``failed`` is called when it fails for good. The job goes through the codec, so it is
    refused here if no queue could store it. Earlier attempts count as failed by an error.

    What it dispatches by ``ctx.dispatch`` is recorded in ``dispatched``, a new
    :class:`~asyncqueue.testing.FakeQueue` unless given, whose registry, settings, services and
    clock apply. With ``in_batch`` the job is the only member of a batch, and can ask for it and add
    to it; that batch stays as it is, whatever becomes of the job.
    """
    if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 1:
        raise ValueError(f"attempt counts from 1, got {attempt!r}")
    fake = FakeQueue() if dispatched is None else dispatched
    # A store of its own, so that the job is not among what was dispatched.
    stage = Queue(
        MemoryDriver(clock=fake.driver.clock),
        settings=fake.settings,
        registry=fake.registry,
        services=fake.services,
        middleware=fake.middleware,
    )
    async with Hand(stage, services=services, middleware=middleware, producer=fake) as hand:
        handle = await stage.dispatch(job, delay=0)
        claim = await hand.claim([Source((await handle.status()).queue)])
        assert claim is not None  # noqa: S101 - it was stored just now, due at once
        claim.attempts, claim.exceptions = attempt, attempt - 1
        claim.latch = await fake.batch_around(job) if in_batch else None
        ended = await hand.run(claim)
    added = tuple(one for one in fake.pushed() if in_batch and one.batch_id == claim.latch)
    return JobRun(**msgspec.structs.asdict(ended), dispatched=fake, added=added)
