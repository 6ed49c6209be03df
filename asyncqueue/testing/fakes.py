"""A queue that records what is dispatched and runs nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from msgspec.structs import replace

from asyncqueue.clock import SYSTEM_CLOCK, Clock
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.queue import Queue, set_default
from asyncqueue.testing.linked import PushedBatch, PushedChain, Reader, WantedLinks
from asyncqueue.testing.pushed import Pushed, Wanted, check_times, counted, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from asyncqueue.function import JobFunction
    from asyncqueue.job import Job
    from asyncqueue.links import BatchLink, Rest
    from asyncqueue.record import Latch, Record, Tally
    from asyncqueue.registry import Registry
    from asyncqueue.settings import Settings
    from asyncqueue.testing.linked import Member, Step
    from asyncqueue.testing.pushed import Kind

J = TypeVar("J", bound="Job")
Q = TypeVar("Q", bound=Queue)


class _Recorder(MemoryDriver):
    """Keeps a list of all records that were stored, in order."""

    name: ClassVar[str] = "fake"

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(clock=clock)
        self.recorded: list[tuple[Record, object | None]] = []

    async def enqueue(
        self,
        records: Sequence[Record],
        *,
        latches: Sequence[Latch] = (),
        within: object | None = None,
    ) -> list[str | None]:
        # As with any real store, a dispatch whose caller is cancelled by now goes no further.
        await asyncio.sleep(0)
        taken = await super().enqueue(records, latches=latches)
        for record, other in zip(records, taken, strict=True):
            if other is None and record.held is None:  # The others were not dispatched yet.
                self.recorded.append((record, within))
        return taken


class FakeQueue(Queue):
    """Stands in for a :class:`~asyncqueue.Queue` in the code under test: nothing runs.

    Everything else is as on a real queue. Jobs are checked and encoded, options applied, the
    same things refused; a duplicate (by ``id`` or ``unique``) is recorded once. What is
    dispatched waits in memory, so ``size``, ``status``, ``cancel``, ``clear`` answer as
    always, and :func:`~asyncqueue.testing.drain` or ``pop`` can run it. ``within=`` takes any
    object: the job is recorded at once, whether or not that transaction commits.

    Options are those of ``Queue``, without the URL. With a hand-moved ``clock`` delayed jobs
    become due when it is moved.
    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        registry: Registry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Any,
    ) -> None:
        self._recorder = _Recorder(clock=clock)
        self._chains: list[PushedChain] = []
        self._batches: list[PushedBatch] = []
        super().__init__(self._recorder, settings=settings, registry=registry, **options)

    @overload
    def pushed(self) -> list[Pushed[Job]]: ...
    @overload
    def pushed(self, kind: type[J]) -> list[Pushed[J]]: ...
    @overload
    def pushed(self, kind: JobFunction[..., Any] | str) -> list[Pushed[Any]]: ...
    def pushed(self, kind: Kind | None = None) -> list[Pushed[Any]]:
        """What was dispatched so far, in order: of this job class or name, or everything."""
        pushed: list[Pushed[Any]] = [
            Pushed(self._opened(record), self.registry, within)
            for record, within in self._recorder.recorded
        ]
        return pushed if kind is None else Wanted(kind).among(pushed)

    def forget_pushed(self) -> None:
        """Start recording anew. What waits in the queue stays there."""
        self._recorder.recorded.clear()
        self._chains.clear()
        self._batches.clear()

    @overload
    def assert_pushed(
        self,
        kind: type[J],
        *,
        times: int | None = None,
        where: Callable[[J], object] | None = None,
        on: str | None = None,
    ) -> None: ...
    @overload
    def assert_pushed(
        self,
        kind: JobFunction[..., Any] | str,
        *,
        times: int | None = None,
        where: Callable[[Any], object] | None = None,
        on: str | None = None,
    ) -> None: ...
    def assert_pushed(
        self,
        kind: Kind,
        *,
        times: int | None = None,
        where: Callable[[Any], object] | None = None,
        on: str | None = None,
    ) -> None:
        """Such a job was dispatched: at least once, or exactly ``times`` times.

        ``kind`` is a job class or a name. ``where`` is called with each job of that kind and
        tells whether it counts; ``on`` is the queue (or lane, ``emails:high``) it must be on.
        ``AssertionError`` otherwise, with a list of what was dispatched.
        """
        __tracebackhide__ = True
        wanted, pushed = Wanted(kind, where, on), self.pushed()
        check_times(times)
        found = len(wanted.among(pushed))
        if found == times or (times is None and found):
            return
        should = "pushed" if times is None else counted(times)
        raise AssertionError(
            f"{wanted} should have been {should}, but was {counted(found)}.\n{listing(pushed)}"
        )

    @overload
    def assert_not_pushed(
        self,
        kind: type[J],
        *,
        where: Callable[[J], object] | None = None,
        on: str | None = None,
    ) -> None: ...
    @overload
    def assert_not_pushed(
        self,
        kind: JobFunction[..., Any] | str,
        *,
        where: Callable[[Any], object] | None = None,
        on: str | None = None,
    ) -> None: ...
    def assert_not_pushed(
        self,
        kind: Kind,
        *,
        where: Callable[[Any], object] | None = None,
        on: str | None = None,
    ) -> None:
        """No such job was dispatched; arguments as for :meth:`assert_pushed`."""
        __tracebackhide__ = True
        wanted = Wanted(kind, where, on)
        found = wanted.among(self.pushed())
        if found:
            raise AssertionError(
                f"{wanted} should not have been pushed, but was {counted(len(found))}.\n"
                f"{listing(found)}"
            )

    def assert_nothing_pushed(self) -> None:
        """Nothing at all was dispatched."""
        __tracebackhide__ = True
        pushed = self.pushed()
        if pushed:
            raise AssertionError(f"Nothing should have been pushed.\n{listing(pushed)}")

    # Chains and batches

    def pushed_chains(self) -> list[PushedChain]:
        """The chains that were dispatched so far, in order."""
        return list(self._chains)

    def pushed_batches(self) -> list[PushedBatch]:
        """The batches that were dispatched so far, in order; not those inside of chains."""
        return list(self._batches)

    def assert_chained(self, *links: Step, times: int | None = None) -> None:
        """A chain of exactly these links, in this order, was dispatched.

        A link is a job (its fields count), or a job class or name (they do not); for a batch it
        is a list of those. At least once, or exactly ``times`` times. ``AssertionError``
        otherwise, with a list of the chains.
        """
        __tracebackhide__ = True
        wanted = WantedLinks(links)
        _assert_times(
            "chain", [one for one in self._chains if wanted.are(one.links)], times, self._chains
        )

    def assert_batched(
        self,
        *jobs: Member,
        named: str | None = None,
        where: Callable[[PushedBatch], object] | None = None,
        times: int | None = None,
    ) -> None:
        """A batch of exactly these jobs, in this order, was dispatched; without any: any batch.

        A job is meant with its fields, a job class or name without. ``named`` is the batch's name;
        ``where`` is called with each :class:`PushedBatch` and tells whether it counts. At least
        once, or exactly ``times`` times. ``AssertionError`` otherwise, with a list of the batches.
        """
        __tracebackhide__ = True
        wanted = WantedLinks(jobs)
        found = [
            one
            for one in self._batches
            if (not jobs or wanted.are(one.jobs))
            and (named is None or one.name == named)
            and (where is None or where(one))
        ]
        _assert_times("batch", found, times, self._batches)

    def _opened(self, record: Record) -> Record:
        return replace(record, payload=self.seal.open(record.name, record.id, record.payload))

    async def batch_around(self, job: Job) -> str:
        """The id of a new batch of this job that is not recorded; for ``run_job``."""
        plan = self.batch(job).plan
        link = self._linker.batch(plan)
        await MemoryDriver.enqueue(self._recorder, link.records, latches=[link.latch])
        return plan.id

    async def _store_chain(self, whole: Rest, within: object | None) -> list[Record]:
        reader = Reader(self.registry, within)
        chain = PushedChain(whole, reader)
        records = await super()._store_chain(whole, within)
        self._chains.append(chain)
        return records

    async def _store_batch(self, batch: BatchLink, within: object | None) -> Tally:
        pushed = PushedBatch(batch, Reader(self.registry, within))
        new = await super()._store_batch(batch, within)
        self._batches.append(pushed)
        return new

    def __repr__(self) -> str:
        return f"<FakeQueue, {len(self._recorder.recorded)} pushed>"


def _assert_times(
    what: str, found: Sequence[object], times: int | None, every: Sequence[object]
) -> None:
    __tracebackhide__ = True
    check_times(times)
    if len(found) == times or (times is None and found):
        return
    should = "pushed" if times is None else counted(times)
    raise AssertionError(
        f"Such a {what} should have been {should}, but was {counted(len(found))}.\n{listing(every)}"
    )


@contextlib.contextmanager
def as_default(queue: Q) -> Generator[Q]:
    """Make ``queue`` the default of this process inside the block; the former one after it."""
    former = set_default(queue)
    try:
        yield queue
    finally:
        set_default(former)
