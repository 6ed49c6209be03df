"""Every verb that changes a store, on a store where it has something to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.record import Extension, Filter, Latch, Limited, On, Presence, Source, State
from asyncqueue.testing.conformance.rules import claim, record, records, settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue import Driver

CALLBACKS = Source("callbacks")
WORKER = Presence("w1", "host", 1, ["q"], 1, 0.0)
SECONDS = 100.0
"""How long after the preparation the verb is called: leases of 30 seconds are over."""
Claims = list[Any]


@dataclass(kw_only=True)
class Verb:
    """A call, and what it is called on.

    ``atomic``: the protocol says that all of it happens or none. ``repeatable``: called twice, it
    has done what it does once. ``late``: it is called after the leases are over.
    """

    prepare: Callable[[Driver], Awaitable[Claims]]
    call: Callable[[Driver, Claims], Awaitable[Any]]
    atomic: bool = True
    repeatable: bool = True
    late: bool = False


async def empty(driver: Driver) -> Claims:
    return []


def running(*jobs: str, **options: Any) -> Callable[[Driver], Awaitable[Claims]]:
    """These jobs are being processed."""

    async def prepare(driver: Driver) -> Claims:
        await driver.enqueue([record(job, **options) for job in jobs])
        return await claim(driver)

    return prepare


def waiting(*jobs: str, **options: Any) -> Callable[[Driver], Awaitable[Claims]]:
    """These jobs wait."""

    async def prepare(driver: Driver) -> Claims:
        await driver.enqueue([record(job, **options) for job in jobs])
        return []

    return prepare


def batch(*, members: int = 2, ended: int = 0) -> Callable[[Driver], Awaitable[Claims]]:
    """A batch with callbacks whose members are being processed, but for those that have ended."""

    async def prepare(driver: Driver) -> Claims:
        await driver.enqueue(batch_records(members), latches=[Latch("b", retention=3600.0)])
        claims = await claim(driver)
        for done in claims[:ended]:
            await driver.settle([settlement(done, State.COMPLETED)])
        return claims[ended:]

    return prepare


def batch_records(members: int) -> list[Any]:
    held = {"then": On.SUCCESS, "catch": On.FAILURE, "finally": On.END}
    return [record(f"m{n}", latch="b") for n in range(members)] + [
        record(name, "callbacks", latch="b", held=on, guards=on is not On.END)
        for name, on in held.items()
    ]


async def failed(driver: Driver) -> Claims:
    for held in await running("a", "b")(driver):
        await driver.settle([settlement(held, State.FAILED, error="E: no")])
    return []


def settling(state: State, **options: Any) -> Callable[[Driver, Claims], Awaitable[Any]]:
    async def call(driver: Driver, claims: Claims) -> Any:
        return await driver.settle([settlement(claims[0], state, **options)])

    return call


def enqueueing(*stored: Any, latches: Any = ()) -> Callable[[Driver, Claims], Awaitable[Any]]:
    async def call(driver: Driver, claims: Claims) -> Any:
        return await driver.enqueue(
            [msgspec.structs.replace(one) for one in stored], latches=latches
        )

    return call


def everything(verb: str, *arguments: Any) -> Callable[[Driver, Claims], Awaitable[Any]]:
    async def call(driver: Driver, claims: Claims) -> Any:
        return await getattr(driver, verb)(*arguments)

    return call


LINK = record("next", "callbacks", key="next")
LIMITED = {"limits": (Limited("k", 1),)}
VERBS: dict[str, Verb] = {
    "enqueue one": Verb(prepare=empty, call=enqueueing(record("a", payload=b"x" * 5000))),
    "enqueue many": Verb(
        prepare=waiting("z"),
        call=enqueueing(*records("a", "b"), record("c", key="c"), record("d", delay=500)),
    ),
    "enqueue over a key": Verb(
        prepare=waiting("z", key="k"), call=enqueueing(record("a", key="k"))
    ),
    "enqueue a batch": Verb(
        prepare=empty,
        call=enqueueing(*batch_records(3), latches=[Latch("b", retention=3600.0)]),
        repeatable=False,
    ),
    "claim": Verb(
        prepare=waiting("a", "b"),
        call=everything("claim", [Source("q")], 2, 30.0, "w2"),
        repeatable=False,
    ),
    "claim what is limited": Verb(
        prepare=waiting("a", "b", **LIMITED),
        call=everything("claim", [Source("q")], 2, 30.0, "w2"),
    ),
    "claim what was delayed": Verb(
        prepare=waiting("a", "b", delay=50),
        call=everything("claim", [Source("q")], 2, 300.0, "w2"),
        repeatable=False,
        late=True,
    ),
    "extend": Verb(
        prepare=running("a", "b"),
        call=lambda driver, claims: driver.extend(
            [Extension(one.id, one.token, 50.0, "half") for one in claims], 60.0
        ),
    ),
    "settle as completed": Verb(
        prepare=running("a", key="k"), call=settling(State.COMPLETED, result=b"1")
    ),
    "settle as completed and gone": Verb(
        prepare=running("a"), call=settling(State.COMPLETED, retention=0.0)
    ),
    "settle as failed": Verb(
        prepare=running("a", key="k"), call=settling(State.FAILED, error="E: no", traceback="in f")
    ),
    "settle as delayed": Verb(
        prepare=running("a"), call=settling(State.DELAYED, delay=9.0, exceptions=1, attempt=b"1")
    ),
    "settle as pending": Verb(prepare=running("a"), call=settling(State.PENDING, attempts=0)),
    "settle as cancelled": Verb(prepare=running("a"), call=settling(State.CANCELLED)),
    "settle what is limited": Verb(
        prepare=running("a", **LIMITED), call=settling(State.COMPLETED, result=b"1")
    ),
    "settle with a follow-up": Verb(
        prepare=running("a"),
        call=settling(State.COMPLETED, follow_ups=[LINK, *batch_records(2)], latches=[Latch("b")]),
    ),
    "settle the last of a batch": Verb(
        prepare=batch(ended=1), call=settling(State.COMPLETED, result=b"1")
    ),
    "settle a failure of a batch": Verb(
        prepare=batch(members=3), call=settling(State.FAILED, error="E: no")
    ),
    "sweep": Verb(prepare=running("a", "b"), call=everything("sweep"), atomic=False, late=True),
    "sweep what is limited": Verb(
        prepare=running("a", **LIMITED), call=everything("sweep"), atomic=False, late=True
    ),
    "prune": Verb(prepare=failed, call=everything("prune", 50.0), atomic=False, late=True),
    "requeue": Verb(prepare=failed, call=everything("requeue", Filter())),
    "cancel what waits": Verb(
        prepare=waiting("a", "b", key=None),
        call=everything("cancel", Filter(), 3600.0),
        atomic=False,
    ),
    "cancel what runs": Verb(
        prepare=running("a", "b"), call=everything("cancel", Filter(), 3600.0), atomic=False
    ),
    "delete": Verb(prepare=waiting("a", "b"), call=everything("delete", Filter()), atomic=False),
    "call a batch off": Verb(prepare=batch(), call=everything("call_off", ["b"])),
    "forget a batch": Verb(prepare=batch(), call=everything("forget_latches", ["b"])),
    "acquire": Verb(prepare=empty, call=everything("acquire", "k", "me", 1, 300.0)),
    "release": Verb(prepare=running("a", **LIMITED), call=everything("release", "k", "a")),
    "pause": Verb(prepare=waiting("a"), call=everything("pause", ["q"], True)),
    "announce": Verb(prepare=empty, call=everything("announce", WORKER, 300.0)),
}
IDS = ("a", "b", "c", "d", "z", "m0", "m1", "m2", "then", "catch", "finally", "next")


async def snapshot(driver: Driver) -> dict[str, Any]:
    """Everything that anybody can see of a store."""
    jobs = (await driver.find(Filter(ids=IDS))).items
    return {
        "jobs": {job.id: msgspec.to_builtins(job) for job in jobs},
        "latches": await latches(driver),
        "counts": {
            queue: msgspec.to_builtins(one)
            for queue, one in (await driver.counts()).items()
            if any(msgspec.structs.astuple(one))
        },
        "permits": await permits(driver),
        "paused": await driver.paused(),
        "workers": [one.id for one in await driver.workers()],
        "called off": sorted(await driver.called_off("w1")),
    }


async def latches(driver: Driver) -> list[Any]:
    return (
        [msgspec.to_builtins(one) for one in await driver.latches()] if driver.has_latches else []
    )


async def permits(driver: Driver) -> list[Any]:
    return (
        [msgspec.to_builtins(one) for one in await driver.holders("k")] if driver.has_limits else []
    )


def offered(name: str, driver: Driver) -> bool:
    """Whether the driver keeps what the verb needs."""
    if not driver.has_limits and ("limited" in name or name in {"acquire", "release"}):
        return False
    return driver.has_latches or not ("batch" in name or "follow-up" in name)
