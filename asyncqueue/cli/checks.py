"""What the doctor looks at, one function for each subject."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.cli.text import counted, duration
from asyncqueue.errors import JobError
from asyncqueue.lanes import split_lane
from asyncqueue.record import FINISHED, Filter, State
from asyncqueue.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncqueue.queue import Queue, QueueStats
    from asyncqueue.record import StoredJob
    from asyncqueue.sealing import Seal

OPTIONAL: Final = ("uvloop", "watchfiles")
LEAST_KEY: Final = 16
"""Bytes of a key for signatures below which it is pointed out."""
_LIVE: Final = tuple(state for state in State if state not in FINISHED)
_PAGE: Final = 1000
_PAGES: Final = 20
"""Pages of waiting jobs whose kinds are looked at."""


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    level: Level
    text: str


def of_installation() -> list[Finding]:
    """Python, asyncqueue, optional packages."""
    present = [name for name in OPTIONAL if importlib.util.find_spec(name)]
    absent = [name for name in OPTIONAL if name not in present]
    text = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in present)
    missing = f"not installed: {', '.join(absent)}" if absent else ""
    return [
        Finding("python", Level.OK, f"{platform.python_version()} on {platform.system()}"),
        Finding("asyncqueue", Level.OK, __version__),
        Finding("optional", Level.OK, "; ".join(part for part in (text, missing) if part)),
    ]


def of_driver(queue: Queue) -> Finding:
    """Which store it is."""
    driver = queue.driver
    if driver.in_process:
        return Finding(
            "driver",
            Level.WARNING,
            f"{driver.name}: jobs live in one process and are lost with it; for more, name a "
            "store: QUEUE_URL=sqlite:///queue.db",
        )
    return Finding("driver", Level.OK, f"{driver.name} at {driver.location()}")


def of_keys(queue: Queue) -> list[Finding]:
    """Whether jobs are signed and encrypted; never a key."""
    return [_signing(queue.seal), _encryption(queue.seal)]


def _signing(seal: Seal) -> Finding:
    if not seal.signing:
        text = "off: who can write to the store can have jobs run (QUEUE_SIGNING_KEYS)"
        return Finding("signing", Level.OK, text)
    text = f"on, with {counted(len(seal.signing), 'key')}"
    if min(seal.signing) < LEAST_KEY:
        text += f"; one has {min(seal.signing)} bytes and may be guessed, give it 32 random ones"
        return Finding("signing", Level.WARNING, text)
    return Finding("signing", Level.OK, text)


def _encryption(seal: Seal) -> Finding:
    if not seal.key_ids:
        text = "off: payloads are readable in the store (QUEUE_ENCRYPTION_KEYS)"
        return Finding("encryption", Level.OK, text)
    first, *others = seal.key_ids
    text = f"on, with the key {first}"
    if others:
        text += f"; decrypts with {', '.join(others)}, too"
    return Finding("encryption", Level.OK, text)


async def of_store(queue: Queue) -> list[Finding]:
    """Whether it answers, and what its driver says of it."""
    driver = await queue.ready()
    began = time.perf_counter()
    await driver.ping()
    took = time.perf_counter() - began
    findings = [Finding("store", Level.OK, f"answers in {duration(took)}; its schema fits")]
    for name, fine, text in await driver.diagnose():
        findings.append(Finding(name, Level.OK if fine else Level.WRONG, text))
    return findings


async def of_queues(queue: Queue) -> list[Finding]:
    """Workers, waiting jobs that nobody serves, failed jobs."""
    stats, workers = await queue.stats(), await queue.workers()
    served = {split_lane(name)[0] for worker in workers for name in worker.queues}
    slots = sum(worker.concurrency for worker in workers)
    return [
        Finding(
            "workers",
            Level.OK if workers else Level.WARNING,
            f"{counted(len(workers), 'live worker')}, {counted(slots, 'slot')}",
        ),
        _unserved(stats, served),
        _paused(stats),
        _oldest(stats),
        _failed(stats),
    ]


def _unserved(stats: dict[str, QueueStats], served: set[str]) -> Finding:
    alone = [
        f"{name} ({counted(row.pending + row.delayed, 'job')})"
        for name, row in stats.items()
        if row.pending + row.delayed and name not in served
    ]
    if not alone:
        return Finding("waiting", Level.OK, "every queue with waiting jobs has a live worker")
    text = f"no live worker serves {', '.join(alone)}; start one: asyncqueue worker --queue NAME"
    return Finding("waiting", Level.WRONG, text)


def _paused(stats: dict[str, QueueStats]) -> Finding:
    names = [name for name, row in stats.items() if row.paused]
    if not names:
        return Finding("paused", Level.OK, "none")
    return Finding("paused", Level.WARNING, f"{', '.join(names)}; asyncqueue resume NAME")


def _oldest(stats: dict[str, QueueStats]) -> Finding:
    name, row = max(stats.items(), key=lambda item: item[1].oldest_seconds)
    if not row.oldest_seconds:
        return Finding("oldest job", Level.OK, "nothing that is due waits")
    return Finding("oldest job", Level.OK, f"waits for {duration(row.oldest_seconds)} in {name}")


def _failed(stats: dict[str, QueueStats]) -> Finding:
    number = sum(row.failed for row in stats.values())
    if not number:
        return Finding("failed", Level.OK, "none")
    return Finding("failed", Level.WARNING, f"{counted(number, 'job')}; asyncqueue failed list")


async def of_jobs(queue: Queue, *, with_kinds: bool) -> list[Finding]:
    """Whether workers with these keys, and with the kinds of this application, would run them."""
    unknown: set[str] = set()
    refused = 0
    reason = ""
    async for stored in _live(queue):
        if stored.name not in queue.registry:
            unknown.add(stored.name)
        try:
            queue.seal.open(stored.name, stored.id, stored.payload)
        except JobError as error:
            refused += 1
            reason = reason or str(error)
    return [_kinds(queue, sorted(unknown))] * with_kinds + [_seals(refused, reason)]


def _kinds(queue: Queue, unknown: list[str]) -> Finding:
    if not unknown:
        known = counted(len(queue.registry), "registered kind")
        return Finding("kinds", Level.OK, f"{known}; every waiting job is one of them")
    text = f"nobody registered {', '.join(unknown)}; import the modules that define them"
    return Finding("kinds", Level.WRONG, text)


def _seals(refused: int, reason: str) -> Finding:
    if not refused:
        return Finding("payloads", Level.OK, "every waiting job can be opened with these keys")
    text = f"{counted(refused, 'waiting job')} would be refused; {reason}"
    return Finding("payloads", Level.WRONG, text)


async def _live(queue: Queue) -> AsyncIterator[StoredJob]:
    driver = await queue.ready()
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await driver.find(Filter(states=_LIVE), limit=_PAGE, cursor=cursor)
        for stored in page.items:
            yield stored
        cursor = page.next
        if cursor is None:
            break
