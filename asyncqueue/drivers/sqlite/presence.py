"""The workers, as others see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from asyncqueue.record import Presence

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite.store import Store


def announce(store: Store, worker: Presence, ttl: float) -> None:
    """Keep a worker visible for a while."""
    seen = msgspec.structs.replace(worker, last_seen=store.now, running=[])
    presence = msgspec.json.encode(seen).decode()
    fact = {"id": worker.id, "presence": presence, "until": store.now + ttl}
    store.change("presence.announce", fact)


def retire(store: Store, worker: str) -> None:
    """Forget a worker, and those who were not seen for too long."""
    store.change("presence.forget", {"id": worker, "now": store.now})


def workers(store: Store) -> list[Presence]:
    """The workers that are present, with what they hold."""
    rows = store.rows("presence.workers", (store.now,))
    present = [presence for (value,) in rows if (presence := _presence(value)) is not None]
    running: dict[str, list[str]] = {}
    if present:
        for worker, id in store.rows("presence.running"):
            running.setdefault(worker, []).append(id)
    return [
        msgspec.structs.replace(presence, running=running.get(presence.id, []))
        for presence in present
    ]


def _presence(value: object) -> Presence | None:
    """A worker as it announced itself; None where that was damaged, which must hide no other."""
    if not isinstance(value, str | bytes):
        return None
    try:
        return msgspec.json.decode(value, type=Presence)
    except msgspec.MsgspecError:
        return None


def called_off(store: Store, worker: str) -> list[str]:
    """This worker's claims whose cancellation was asked for."""
    return [id for (id,) in store.rows("presence.called_off", (worker,))]
