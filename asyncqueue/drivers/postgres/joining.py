"""Storing jobs inside a transaction of the caller, on the caller's own connection."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from asyncqueue.drivers.postgres.enqueue import enqueue
from asyncqueue.drivers.postgres.failures import explained
from asyncqueue.drivers.postgres.topics import texts
from asyncqueue.drivers.postgres.wire import as_connection
from asyncqueue.errors import TransactionUnsupported

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.store import Executing, Store
    from asyncqueue.record import Record


async def enqueue_within(
    within: object,
    records: Sequence[Record],
    place: Place,
    store_on: Callable[[Executing], Store],
) -> list[str | None]:
    """Store records as part of the transaction of ``within``, all or none.

    Those who wait for jobs are notified by the commit of the caller.
    """
    connection = as_connection(within)
    if connection is None:
        raise TransactionUnsupported(
            f"The postgres driver cannot join a transaction of {type(within).__module__}."
            f"{type(within).__qualname__}; give an asyncpg connection to {place.location}."
        )
    with explained(place):
        if not connection.is_in_transaction():
            raise TransactionUnsupported(
                "The connection given as within is in no transaction, so every statement would be "
                "committed by itself; wrap the call in `async with connection.transaction():`."
            )
        async with _savepoint(connection):
            store = store_on(connection)
            answers = await enqueue(store, records)
            tables = store.sql.tables
            await store.rows(
                "presence.notify", channel=tables.channel, texts=texts("", sorted(store.rung))
            )
            return answers


@contextlib.asynccontextmanager
async def _savepoint(connection: Executing) -> AsyncGenerator[None]:
    await connection.execute("SAVEPOINT asyncqueue")
    try:
        yield
    except BaseException:
        await connection.execute("ROLLBACK TO SAVEPOINT asyncqueue")
        await connection.execute("RELEASE SAVEPOINT asyncqueue")
        raise
    await connection.execute("RELEASE SAVEPOINT asyncqueue")
