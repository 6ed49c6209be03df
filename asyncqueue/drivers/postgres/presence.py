"""The workers, as others see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.record import Presence

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres.store import Store

AWAITED_FOR: Final = 30.0
"""Seconds for which somebody counts as waiting for jobs to finish, unless he says so again."""


async def announce(store: Store, worker: Presence, ttl: float) -> None:
    """Keep a worker visible for a while."""
    facts = msgspec.json.encode(msgspec.structs.replace(worker, running=[])).decode()
    await store.change("presence.announce", id=worker.id, presence=facts, ttl=ttl)


async def retire(store: Store, worker: str) -> None:
    """Forget a worker, and those who were not seen for too long."""
    await store.change("presence.forget", id=worker)


async def workers(store: Store) -> list[Presence]:
    """The workers that are present, with what they hold."""
    rows = await store.rows("presence.workers")
    running: dict[str, list[str]] = {}
    if rows:
        for worker, id in await store.rows("presence.running"):
            running.setdefault(worker, []).append(id)
    present = [
        (presence, seen) for value, seen in rows if (presence := _presence(value)) is not None
    ]
    return [
        msgspec.structs.replace(presence, last_seen=seen, running=running.get(presence.id, []))
        for presence, seen in present
    ]


def _presence(value: str | None) -> Presence | None:
    """A worker as it announced itself; None where that was damaged, which must hide no other."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Presence)
    except msgspec.DecodeError:
        return None


async def called_off(store: Store, worker: str) -> list[str]:
    """This worker's claims whose cancellation was asked for."""
    return [id for (id,) in await store.rows("presence.called_off", worker=worker)]


async def await_endings(store: Store, id: str) -> None:
    """Ask those who settle to tell which jobs finished, for a while."""
    await store.change("presence.await", id=id, ttl=AWAITED_FOR)
