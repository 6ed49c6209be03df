"""Reading jobs and counting them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.sqlite.filters import condition
from asyncqueue.drivers.sqlite.states import STATES
from asyncqueue.record import FINISHED, Found, QueueCounts, StoredJob

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.sqlite.filters import Condition
    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Filter

LAST: Final = 2**63 - 1


def find(store: Store, which: Filter, page: tuple[int, int, str | None], order: Order) -> Found:
    """A page of jobs, given as limit, offset and cursor."""
    limit, offset, cursor = page
    if limit <= 0:
        return Found([])
    by_end = order == "finished"
    meant = condition(which, store.now, FINISHED if by_end else None)
    text = _selection(store, meant, order)
    if not text:
        return Found([])
    meant.parameters.update(_read_cursor(cursor, order), limit=limit + 1, offset=max(0, offset))
    rows = store.select(text, meant.parameters)
    more = len(rows) > limit
    return Found(
        [_stored_job(row) for row in rows[:limit]],
        _cursor(rows[limit - 1], order) if more else None,
    )


def _selection(store: Store, meant: Condition, order: Order) -> str | None:
    """One statement over both tables; SQLite merges two ordered scans."""
    if order == "finished":
        beyond, direction = "(finished_at, seq) < (:end, :seq)", "finished_at DESC, seq DESC"
    else:
        beyond, direction = "seq < :seq", "seq DESC"
    parts = [
        store.sql[f"look.{table}"].replace(":where", f"({where}) AND {beyond}")
        for table, where in (("jobs", meant.jobs()), ("failed", meant.failed))
        if where is not None
    ]
    if not parts:
        return None
    return f"{' UNION ALL '.join(parts)} ORDER BY {direction} LIMIT :limit OFFSET :offset"


def _cursor(row: Row, order: Order) -> str:
    return f"{row[12]!r}/{row[0]}" if order == "finished" else str(row[0])


def _read_cursor(cursor: str | None, order: Order) -> dict[str, float]:
    if cursor is None:
        return {"seq": LAST, "end": sys.float_info.max}
    end, _, seq = cursor.rpartition("/") if order == "finished" else ("0", "", cursor)
    try:
        return {"seq": min(int(seq), LAST), "end": float(end)}
    except ValueError:
        raise ValueError(
            f"{cursor!r} is not a cursor of this listing; give one that it returned."
        ) from None


def count(store: Store, which: Filter) -> int:
    """How many jobs are meant: the sum of counts that each can use an index of their own."""
    meant = condition(which, store.now)
    wheres = [("count_jobs", where) for where in meant.alternatives]
    if meant.failed is not None:
        wheres.append(("count_failed", meant.failed))
    texts = [store.sql[f"look.{name}"].replace(":where", where) for name, where in wheres]
    return sum(store.select(text, meant.parameters)[0][0] for text in texts)


def counts(store: Store) -> dict[str, QueueCounts]:
    """Counts by queue."""
    answer: dict[str, QueueCounts] = {}
    for queue, code, many, since in store.rows("look.counts", {"now": store.now}):
        queue_counts = answer.setdefault(queue, QueueCounts())
        state = STATES[code].value
        setattr(queue_counts, state, getattr(queue_counts, state) + many)
        if since is not None:
            age = store.now - _number(since, store.now)
            queue_counts.oldest_seconds = max(queue_counts.oldest_seconds, age)
    return answer


def _stored_job(row: Row) -> StoredJob:
    (_, id, queue, name, payload, code, priority, attempts, max_attempts, created_at,
     available_at, started_at, finished_at, progress, message, result, error, traceback,
     worker, key) = row  # fmt: skip
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
    return int(value) if isinstance(value, int | float) else None


def _number(value: Any, default: Any) -> Any:
    return float(value) if isinstance(value, int | float) else default
