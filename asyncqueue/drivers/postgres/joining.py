"""Storing jobs inside a transaction of the caller, on the caller's own connection."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from asyncqueue.drivers.postgres.failures import explained, has_no_transaction
from asyncqueue.drivers.postgres.guests import ACCEPTED, guest
from asyncqueue.drivers.postgres.topics import texts
from asyncqueue.errors import TransactionUnsupported

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.store import Executing, Store

T = TypeVar("T")


async def work_within(
    within: object,
    verb: Callable[[Store], Awaitable[T]],
    place: Place,
    store_on: Callable[[Executing], Store],
) -> T:
    """Do a verb as part of the transaction of ``within``, all of it or nothing.

    Those who wait for jobs are notified by the commit of the caller.
    """
    with explained(place):
        connection = await guest(within)
        if connection is None:
            raise TransactionUnsupported(
                f"The postgres driver cannot join a transaction of {type(within).__module__}."
                f"{type(within).__qualname__}; give {ACCEPTED}, to {place.location}."
            )
        async with _savepoint(connection):
            store = store_on(connection)
            answer = await verb(store)
            tables = store.sql.tables
            await store.rows(
                "presence.notify", channel=tables.channel, texts=texts("", sorted(store.rung))
            )
            return answer


@contextlib.asynccontextmanager
async def _savepoint(connection: Executing) -> AsyncGenerator[None]:
    try:
        await connection.execute("SAVEPOINT asyncqueue")
    except Exception as error:
        if not has_no_transaction(error):
            raise
        raise TransactionUnsupported(
            "The connection given as within is in no transaction, so every statement would be "
            "committed by itself; begin one around the dispatch."
        ) from error
    try:
        yield
    except BaseException:
        await connection.execute("ROLLBACK TO SAVEPOINT asyncqueue")
        await connection.execute("RELEASE SAVEPOINT asyncqueue")
        raise
    await connection.execute("RELEASE SAVEPOINT asyncqueue")
