"""Leases: longer ones, and what becomes of those that ran out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.sqlite import limits
from asyncqueue.drivers.sqlite.ending import Held, look_up, remove
from asyncqueue.drivers.sqlite.latches import Latches
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import Hold, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Claim, Extension

SWEPT_AT_ONCE: Final = 1000
"""Bounds the time for which other processes must wait for the write lock."""


def extend(store: Store, extensions: Sequence[Extension], lease: float) -> list[Hold]:
    """Renew the leases that are still held."""
    held = look_up(store, (extension.id for extension in extensions))
    rows = [held.get((extension.id, extension.token)) for extension in extensions]
    seqs = listed(row.seq for row in rows if row is not None)
    store.change("leases.extend", {"seqs": seqs, "until": store.now + lease})
    reports = [
        (row.seq, extension.progress, extension.message)
        for extension, row in zip(extensions, rows, strict=True)
        if row is not None and (extension.progress, extension.message) != (None, None)
    ]
    for report in _one_each(reports):
        store.change_bulk("leases.report", report)
    return [_hold(row) for row in rows]


def _one_each(
    reports: Sequence[tuple[int, float | None, str | None]],
) -> list[list[tuple[int, float | None, str | None]]]:
    # An UPDATE FROM takes any one of several rows for the same job; the last word must win.
    latest = {seq: (seq, progress, message) for seq, progress, message in reports}
    if len(latest) == len(reports):
        return [list(reports)]
    return [[report] for report in reports]


def _hold(row: Held | None) -> Hold:
    if row is None:
        return Hold.LOST
    return Hold.HELD if row.cancel_keep is None else Hold.CANCELLED


class Swept(NamedTuple):
    """How many jobs were put back, and whether more may be waiting for it."""

    returned: int
    more: bool


def nothing_expired(store: Store) -> Swept | None:
    """Look, without any lock, whether there is anything to sweep; answers if there is not."""
    return None if store.value("leases.any_expired", (store.now,)) else Swept(0, more=False)


def sweep(store: Store) -> Swept:
    """Return some of the jobs whose lease ran out."""
    expired = store.rows("leases.expired", {"now": store.now, "limit": SWEPT_AT_ONCE})
    held = {id: Held(*rest) for id, *rest in expired}
    return Swept(_release(store, held, given_back=0), more=len(expired) == SWEPT_AT_ONCE)


def give_back(store: Store, claims: Sequence[Claim]) -> int:
    """Return claims that were never delivered: their attempt does not count."""
    found = look_up(store, (claim.id for claim in claims))
    held = {c.id: found[c.id, c.token] for c in claims if (c.id, c.token) in found}
    return _release(store, held, given_back=1)


def _release(store: Store, held: dict[str, Held], given_back: int) -> int:
    returned = [row for row in held.values() if row.cancel_keep is None]
    seqs = listed(row.seq for row in returned)
    store.change("leases.put_back", {"seqs": seqs, "given_back": given_back})
    store.ring("queue", {row.queue for row in returned})
    _cancel(store, {id: row for id, row in held.items() if row.cancel_keep is not None})
    limits.ended(store, [(id, row.limits) for id, row in held.items()])
    return len(returned)


def _cancel(store: Store, called_off: dict[str, Held]) -> None:
    # What was to be cancelled must not run again.
    if not called_off:
        return
    latches = Latches(store)
    for part in latches.parts(row.seq for row in called_off.values()).values():
        latches.ended(part, State.CANCELLED)
    kept = [row.seq for row in called_off.values() if (row.cancel_keep or 0) > 0]
    store.change("leases.cancel", {"seqs": listed(kept), "now": store.now})
    remove(store, [row.seq for row in called_off.values() if row.seq not in set(kept)])
    latches.write()
    store.ring("job", called_off)
