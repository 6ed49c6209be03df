"""Reading jobs and counting them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.postgres.filters import condition
from asyncqueue.drivers.postgres.permits import decoded
from asyncqueue.drivers.postgres.states import ONS, STATES
from asyncqueue.record import FINISHED, Found, QueueCounts, StoredJob

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Filter

LAST: Final = 2**63 - 1
_FINISHED_AT: Final = 12
_STATE: Final = 5


class Ordering(NamedTuple):
    """An order of a listing, and what stands behind its cursor."""

    by: str
    beyond: str


ORDERS: Final[dict[str, Ordering]] = {
    "created": Ordering("seq DESC", "seq < :seq::bigint"),
    "finished": Ordering(
        "finished_at DESC, seq DESC",
        "(finished_at, seq) < (:end::double precision, :seq::bigint)",
    ),
}


async def find(
    store: Store, which: Filter, page: tuple[int, int, str | None], order: Order
) -> Found:
    """A page of jobs, given as limit, offset and cursor."""
    limit, offset, cursor = page
    beginning = _read_cursor(cursor, order)
    if limit <= 0:
        return Found([])
    meant = condition(which, FINISHED if order == "finished" else None)
    ordering = {"beyond": ORDERS[order].beyond, "order": ORDERS[order].by}
    parts = [
        store.sql.text(f"look.{table}", {"where": where} | ordering)
        for table, where in (("jobs", meant.live), ("failed", meant.failed))
        if where is not None
    ]
    if not parts:
        return Found([])
    skipped = max(0, offset)
    numbers = {"limit": limit + 1, "offset": skipped, "most": limit + 1 + skipped}
    rows = await store.select(
        "look.page",
        {"selections": " UNION ALL ".join(parts), "order": ORDERS[order].by},
        meant.parameters | beginning | numbers,
    )
    return Found(
        [_stored_job(row) for row in rows[:limit]],
        _cursor(rows[limit - 1], order) if len(rows) > limit else None,
    )


def _cursor(row: Row, order: Order) -> str:
    return f"{row[_FINISHED_AT]!r}/{row[0]}" if order == "finished" else str(row[0])


def _read_cursor(cursor: str | None, order: Order) -> dict[str, object]:
    if cursor is None:
        return {"seq": LAST, "end": sys.float_info.max}
    end, _, seq = cursor.rpartition("/") if order == "finished" else ("0", "", cursor)
    try:
        return {"seq": max(-LAST, min(int(seq), LAST)), "end": float(end)}
    except ValueError:
        raise ValueError(
            f"{cursor!r} is not a cursor of this listing; give one that it returned."
        ) from None


async def count(store: Store, which: Filter) -> int:
    """How many jobs are meant."""
    meant = condition(which)
    found = 0
    for statement, where in (("count_jobs", meant.live), ("count_failed", meant.failed)):
        if where is not None:
            rows = await store.select(f"look.{statement}", {"where": where}, meant.parameters)
            found += rows[0][0]
    return found


async def counts(store: Store) -> dict[str, QueueCounts]:
    """Counts by queue."""
    answer: dict[str, QueueCounts] = {}
    for queue, code, many, age in await store.rows("look.counts"):
        queue_counts = answer.setdefault(queue, QueueCounts())
        state = STATES[code].value
        setattr(queue_counts, state, getattr(queue_counts, state) + many)
        if age is not None:
            queue_counts.oldest_seconds = max(queue_counts.oldest_seconds, age)
    return answer


async def ahead(store: Store, id: str) -> int | None:
    """How many jobs are claimed before a due one of its queue."""
    number: int | None = await store.value("look.ahead", id=id)
    return number


def _stored_job(row: Row) -> StoredJob:
    _, id, queue, name, payload, code, *others, held, limits, fair, history, lease_left = row
    return StoredJob(
        *(id, queue, name, payload, STATES[code]),
        *others,
        held=None if held is None else ONS.get(held),
        limits=decoded(limits),
        fair=fair,
        history=history,
        lease_left=lease_left,
    )
