"""Ending claims, with all that depends on it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.sqlite import enqueue
from asyncqueue.drivers.sqlite.ending import end_held, end_plainly, final_state, look_up
from asyncqueue.drivers.sqlite.latches import Latches
from asyncqueue.drivers.sqlite.store import has_any, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.sqlite.ending import Held
    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Counted, Settlement

    Pairs = Sequence[tuple[Settlement, Held]]

LATCH: Final = attrgetter("latch")
ATTEMPT: Final = attrgetter("attempt")
FOLLOW_UPS: Final = attrgetter("follow_ups")


def settle(store: Store, settlements: Sequence[Settlement]) -> Sequence[bool | Counted]:
    """End those claims that are still held; answers which were, and what counts then.

    Latches, follow-ups and histories take further statements, which others do not pay for.
    """
    if not (
        has_any(LATCH, settlements)
        or has_any(ATTEMPT, settlements)
        or any(map(FOLLOW_UPS, settlements))
    ):
        return end_plainly(store, settlements)
    if _in_each_others_way(store, settlements):
        return [_settle_together(store, [settlement])[0] for settlement in settlements]
    return _settle_together(store, settlements)


def _says_more(s: Settlement) -> bool:
    """Whether more depends on it than its own job."""
    return s.latch is not None or s.attempt is not None or bool(s.follow_ups)


def _in_each_others_way(store: Store, settlements: Sequence[Settlement]) -> bool:
    """Whether it may matter which of them is settled first."""
    if len(settlements) == 1:
        return False
    records = [record for settlement in settlements for record in settlement.follow_ups]
    ids = [settlement.id for settlement in settlements] + [record.id for record in records]
    return (
        len(set(ids)) < len(ids)
        or any(record.key is not None for record in records)
        or any(_joins_another(settlement) for settlement in settlements)
        or (bool(records) and enqueue.any_known(store, records))
    )


def _joins_another(settlement: Settlement) -> bool:
    """Whether some follow-up joins a latch that exists by then."""
    latches = {record.latch for record in settlement.follow_ups if record.latch is not None}
    return not latches.issubset(latch.id for latch in settlement.latches)


def _settle_together(store: Store, settlements: Sequence[Settlement]) -> list[bool | Counted]:
    plain = [settlement for settlement in settlements if not _says_more(settlement)]
    answers: dict[str, bool | Counted] = {}
    answers |= zip((s.id for s in plain), end_plainly(store, plain), strict=True)
    more = [settlement for settlement in settlements if _says_more(settlement)]
    rows = look_up(store, (settlement.id for settlement in more))
    held = [(s, rows[s.id, s.token]) for s in more if (s.id, s.token) in rows]
    answers |= {settlement.id: True for settlement, _ in held}
    _remember(store, held)
    answers |= _end(store, held)
    _follow_up(store, [settlement for settlement, _ in held])
    return [answers.get(settlement.id, False) for settlement in settlements]


def _remember(store: Store, held: Pairs) -> None:
    """Add these attempts to the histories of their jobs."""
    attempts = {row.seq: s.attempt for s, row in held if s.attempt is not None}
    if attempts:
        before = store.rows("settle.histories", (listed(attempts),))
        after = [(seq, (history or b"") + attempts[seq]) for seq, history in before]
        store.change_bulk("settle.remember", after)


def _end(store: Store, held: Pairs) -> dict[str, Counted]:
    """End claims; answers what counts then for each job that was a member of a latch."""
    latches = Latches(store)
    # Looked up before the rows go.
    parts = latches.parts(row.seq for settlement, row in held if settlement.latch is not None)
    end_held(store, held)
    counted: dict[str, Counted] = {}
    for settlement, row in held:
        part, state = parts.get(row.seq), final_state(settlement, row)
        if part is not None and state is not None:
            answer = latches.ended(part, state, settlement.error)
            if answer is not None:
                counted[settlement.id] = answer
    latches.write()
    return counted


def _follow_up(store: Store, settlements: Sequence[Settlement]) -> None:
    records = [record for settlement in settlements for record in settlement.follow_ups]
    if records:
        latches = [latch for settlement in settlements for latch in settlement.latches]
        enqueue.enqueue(store, records, store.now, latches)
