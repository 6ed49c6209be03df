"""Handing out jobs that have limits, or that take turns, and those that wait among them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from asyncqueue.drivers.permits import UNREAD
from asyncqueue.drivers.postgres.permits import Keys, decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Limited

log = logging.getLogger("asyncqueue.postgres")

_SEQ = 11
"""Where a row of a claim has it."""


class Candidate(NamedTuple):
    """One that waits, in the order of turns."""

    seq: int
    limits: tuple[Limited, ...]
    key: str
    """Its fair key; empty where it has none."""
    unread: bool
    """Whether its limits cannot be read: there are none, then."""


class Handed(NamedTuple):
    """What came of it."""

    rows: list[Row]
    """As those of a claim, in order."""
    aside: int
    """How many were set aside."""
    opens_in: float | None
    """Seconds until somebody of these may try again."""


async def hand_out(
    store: Store, queue: str, priority: int, most: int, call: dict[str, object]
) -> Handed:
    """Hand out up to ``most`` jobs of one line; needs a transaction.

    Whoever does so has the line to himself, so that he knows whose turn it is.
    """
    line = f"{priority}/{queue}"
    await store.rows("restricted.lock", store=store.sql.tables.family, line=line)
    last: str = await store.value("restricted.last", line=line) or ""
    candidates = [
        Candidate(seq, limits, key, text is not None and not limits)
        for seq, text, key in await store.rows(
            "restricted.candidates", queue=queue, priority=priority, last=last, most=most
        )
        for limits in [decoded(text)]
    ]
    if not candidates:
        return Handed([], 0, None)
    keys = Keys(store)
    await keys.lock(limit.key for candidate in candidates for limit in candidate.limits)
    seqs = [candidate.seq for candidate in candidates]
    free = {seq for (seq,) in await store.rows("restricted.lock_jobs", seqs=seqs)}
    chosen, aside = _admit([one for one in candidates if one.seq in free], keys)
    if aside:
        lacking = {"seqs": list(aside), "keys": list(aside.values())}
        await store.change("permits.set_aside", **lacking)
    rows = await _hand_out(store, chosen, keys, call)
    await keys.write()
    if chosen and chosen[-1].key != last:
        await store.change("restricted.note_last", line=line, last=chosen[-1].key)
    return Handed(rows, len(aside), keys.opens_in)


def _admit(candidates: Sequence[Candidate], keys: Keys) -> tuple[list[Candidate], dict[int, str]]:
    """Those that get all permits that they need, and of the others which one is missing."""
    chosen: list[Candidate] = []
    aside: dict[int, str] = {}
    for candidate in candidates:
        lacking = keys.lacks(candidate.limits)
        if lacking is None:
            keys.reserve(candidate.limits, candidate.seq)
            chosen.append(candidate)
        else:
            aside[candidate.seq] = lacking
            # Others may try in the place of one that lacks another permit than they do.
            keys.gone(limit for limit in candidate.limits if limit.key != lacking)
    return chosen, aside


async def _hand_out(
    store: Store, chosen: Sequence[Candidate], keys: Keys, call: dict[str, object]
) -> list[Row]:
    if not chosen:
        return []
    seqs = [candidate.seq for candidate in chosen]
    rows = await store.rows("restricted.hand_out", seqs=seqs, **call)
    by_seq = {row[_SEQ]: row for row in rows}
    for candidate in chosen:
        id, token, *_ = by_seq[candidate.seq]
        keys.take(candidate.limits, id, token)
        if candidate.unread:
            log.warning(UNREAD, id)
    return [by_seq[seq] for seq in seqs]
