"""Reading jobs and counting them."""

from __future__ import annotations

import sys
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncqueue.drivers.sqlite.filters import condition
from asyncqueue.drivers.sqlite.limits import read
from asyncqueue.drivers.sqlite.states import HELD_BY, STATES
from asyncqueue.record import FINISHED, Found, QueueCounts, StoredJob

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.sqlite.filters import Condition
    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Filter

LAST: Final = 2**63 - 1


class Ordering(NamedTuple):
    """An order of a listing, and what stands behind its cursor."""

    by: str
    beyond: str


ORDERS: Final[dict[str, Ordering]] = {
    "created": Ordering("seq DESC", "seq < :seq"),
    "finished": Ordering("finished_at DESC, seq DESC", "(finished_at, seq) < (:end, :seq)"),
}


def find(store: Store, which: Filter, page: tuple[int, int, str | None], order: Order) -> Found:
    """A page of jobs, given as limit, offset and cursor."""
    limit, offset, cursor = page
    if limit <= 0:
        return Found([])
    meant = condition(which, store.now, FINISHED if order == "finished" else None)
    parts = _selections(store, meant, which, order)
    if not parts:
        return Found([])
    rows = store.select(
        "look.page",
        meant.parameters
        | _read_cursor(cursor, order)
        | {"limit": limit + 1, "offset": max(0, offset), "most": limit + 1 + max(0, offset)},
        selections=" UNION ALL ".join(parts),
        order=ORDERS[order].by,
    )
    return Found(
        [_stored_job(row, store.now) for row in rows[:limit]],
        _cursor(rows[limit - 1], order) if len(rows) > limit else None,
    )


def _selections(store: Store, meant: Condition, which: Filter, order: Order) -> list[str]:
    """One selection for each table in which such jobs may be; SQLite merges their orders."""
    wheres = {"jobs": _live(store, meant, which, order), "failed": meant.failed}
    return [
        store.sql.marked(f"look.{table}", {"where": f"({where}) AND {ORDERS[order].beyond}"})
        for table, where in wheres.items()
        if where is not None
    ]


def _live(store: Store, meant: Condition, which: Filter, order: Order) -> str | None:
    chosen = (which.states, which.ids, which.latch)
    if order == "created" and chosen == (None, None, None):
        # Most rows are meant: go through the table itself, from its end.
        return meant.where()
    selections = [
        store.sql.marked("look.seqs", {"index": rows.by, "where": rows.where})
        for rows in meant.live
    ]
    if not selections:
        return None
    marks = {"selections": " UNION ALL ".join(selections)}
    marks |= {"beyond": ORDERS[order].beyond, "order": ORDERS[order].by}
    return store.sql.marked("look.among", marks)


def _cursor(row: Row, order: Order) -> str:
    return f"{row[12]!r}/{row[0]}" if order == "finished" else str(row[0])


def _read_cursor(cursor: str | None, order: Order) -> dict[str, float]:
    if cursor is None:
        return {"seq": LAST, "end": sys.float_info.max}
    end, _, seq = cursor.rpartition("/") if order == "finished" else ("0", "", cursor)
    try:
        return {"seq": max(-LAST, min(int(seq), LAST)), "end": float(end)}
    except ValueError:
        raise ValueError(
            f"{cursor!r} is not a cursor of this listing; give one that it returned."
        ) from None


def count(store: Store, which: Filter) -> int:
    """How many jobs are meant: the sum of counts that each can use an index of their own."""
    meant = condition(which, store.now)
    found = [
        store.select("look.count_jobs", meant.parameters, index=rows.by, where=rows.where)
        for rows in meant.live
    ]
    if meant.failed is not None:
        found.append(store.select("look.count_failed", meant.parameters, where=meant.failed))
    return sum(many for ((many,),) in found)


def ahead(store: Store, id: str) -> int | None:
    """How many jobs are claimed before a due one; None if it is not due."""
    for queue, priority, available_at, seq in store.rows("look.due", {"id": id, "now": store.now}):
        place = {"queue": queue, "priority": priority, "available_at": available_at, "seq": seq}
        return store.value("look.ahead", place | {"now": store.now})
    return None


def counts(store: Store) -> dict[str, QueueCounts]:
    """Counts by queue."""
    answer: dict[str, QueueCounts] = {}
    for queue, code, many, since in store.rows("look.counts", {"now": store.now}):
        queue_counts = answer.setdefault(_text(queue) or "", QueueCounts())
        state = STATES[code].value
        setattr(queue_counts, state, getattr(queue_counts, state) + many)
        if since is not None:
            age = store.now - _number(since, store.now)
            queue_counts.oldest_seconds = max(queue_counts.oldest_seconds, age)
    return answer


def _stored_job(row: Row, now: float) -> StoredJob:
    (_, id, queue, name, payload, code, priority, attempts, max_attempts, created_at,
     available_at, started_at, finished_at, progress, message, result, error, traceback,
     worker, key, latch, part, history, limits, fair, leased_until) = row  # fmt: skip
    return StoredJob(
        id=_text(id) or "",
        queue=_text(queue) or "",
        name=_text(name) or "",
        payload=_blob(payload) or b"",
        state=STATES[code],
        priority=_whole(priority) or 0,
        attempts=_whole(attempts) or 0,
        max_attempts=_whole(max_attempts),
        created_at=_number(created_at, 0.0),
        available_at=_number(available_at, 0.0),
        started_at=_number(started_at, None),
        finished_at=_number(finished_at, None),
        progress=_number(progress, None),
        message=_text(message),
        result=_blob(result),
        error=_text(error),
        traceback=_text(traceback),
        worker=_text(worker),
        key=_text(key),
        latch=_text(latch),
        held=HELD_BY.get(part),
        limits=read(limits),
        fair=_text(fair),
        history=_blob(history),
        lease_left=None if leased_until is None else _number(leased_until, now) - now,
    )


# A damaged column reads as near as possible to what it should be, so that the row can be shown.


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _blob(value: Any) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and isfinite(value) else None


def _number(value: Any, default: Any) -> Any:
    return float(value) if isinstance(value, int | float) else default
