"""A dispatcher by itself: its groups, its callers, and the event loops that they run on."""

from __future__ import annotations

import asyncio

from asyncqueue.queue.dispatcher import Dispatch, Dispatcher, _later
from asyncqueue.record import Record
from asyncqueue.testing import Clock

from ..recorder import PATIENCE, until


class Sink:
    """A store that notes what it is given, call by call, and answers when it is told to."""

    in_process = False

    def __init__(self, at_once: int = 1) -> None:
        self.enqueues_at_once = at_once
        self.clock = Clock()
        self.stored: list[list[str]] = []
        self.gates: list[asyncio.Event] = []
        self.refused = ""

    def held(self) -> asyncio.Event:
        """The next call waits for this."""
        self.gates.append(asyncio.Event())
        return self.gates[-1]

    async def enqueue(self, records: list[Record]) -> list[str | None]:
        ids = [record.id for record in records]
        self.stored.append(ids)
        if self.gates:
            await self.gates.pop(0).wait()
        if self.refused in ids:
            raise ValueError(self.refused)
        return [f"{id} is known" for id in ids]


def records(*ids: str) -> list[Record]:
    return [Record(id, "q", "Kind", b"") for id in ids]


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_every_caller_has_the_answers_to_its_own_records():
    own = Dispatcher(Sink())
    answers = await asyncio.gather(*(own.store(records(*ids)) for ids in ("a", "bc", "d")))
    assert answers == [["a is known"], ["b is known", "c is known"], ["d is known"]]


async def test_after_a_call_that_was_cancelled_in_flight_there_are_others():
    sink = Sink()
    own = Dispatcher(sink)
    sink.held()
    first = asyncio.create_task(own.store(records("a")))
    await turns()
    (sending,) = own._sending
    sending.cancel()
    await asyncio.wait([first, sending])
    assert sending.cancelled()
    async with asyncio.timeout(PATIENCE):
        assert await own.store(records("b")) == ["b is known"]
        await own.drained()


async def test_whoever_gave_up_is_left_out_when_a_group_is_taken_apart():
    sink = Sink()
    own, gate = Dispatcher(sink), sink.held()
    first = asyncio.create_task(own.store(records("a")))
    await turns()
    together = sink.held()
    group = [asyncio.create_task(own.store(records(id))) for id in "bcd"]
    gate.set()
    await until(lambda: len(sink.stored) == 2)
    sink.refused = "d"
    group[1].cancel()
    await turns()
    together.set()
    await asyncio.wait([first, *group])
    assert sink.stored == [["a"], ["b", "c", "d"], ["b"], ["d"]]
    assert isinstance(group[2].exception(), ValueError)


async def test_it_is_drained_when_calls_that_began_meanwhile_are_over_too():
    sink = Sink(at_once=2)
    own, gates = Dispatcher(sink), [sink.held(), sink.held()]
    first = asyncio.create_task(own.store(records("a")))
    await turns()
    drained = asyncio.create_task(own.drained())
    await turns()
    second = asyncio.create_task(own.store(records("b")))
    await until(lambda: len(sink.stored) == 2)
    gates[0].set()
    await first
    await turns()
    assert not drained.done()
    gates[1].set()
    await asyncio.gather(second, drained)


async def test_what_another_loop_left_behind_is_forgotten():
    """It was closed with calls in flight: nobody waits for them, or for what was to follow."""
    sink = Sink()
    own, gone = Dispatcher(sink), asyncio.new_event_loop()
    own._loop, own._calls, own._about_to_send = gone, 1, True
    own._waiting.append(Dispatch(records("left"), gone.create_future(), 0.0))
    gone.close()
    async with asyncio.timeout(PATIENCE):
        assert await own.store(records("a")) == ["a is known"]
    assert sink.stored == [["a"]]


async def test_another_loop_does_not_wait_for_the_calls_of_the_first():
    sink = Sink()
    own, gate = Dispatcher(sink), sink.held()
    first = asyncio.create_task(own.store(records("a")))
    await turns()

    async def elsewhere() -> list[str | None]:
        async with asyncio.timeout(PATIENCE):
            return await own.store(records("b"))

    assert await asyncio.to_thread(asyncio.run, elsewhere()) == ["b is known"]
    gate.set()
    await first


def test_a_delay_and_the_hold_of_a_key_end_at_nothing():
    (record,) = records("a")
    record.delay, record.key, record.key_ttl = 3.0, "key", 5.0
    for waited, left in ((1, (2, 4)), (4, (0, 1)), (9, (0, 0))):
        later = _later(record, waited)
        assert (later.delay, later.key_ttl) == left
