"""Creating the tables, and recognising those of another version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from asyncqueue.drivers.postgres.names import Tables
    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.statements import Statements
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Connection

VERSION: Final = "1"
OLDEST_SERVER: Final = 14


def check_server(connection: Connection, place: Place) -> None:
    """Raise DriverError for a server that lacks what is needed."""
    version = connection.get_server_version()[0]
    if version < OLDEST_SERVER:
        raise DriverError(
            f"PostgreSQL at {place.location} is version {version}; asyncqueue needs "
            f"{OLDEST_SERVER} or newer."
        )


async def ensure_schema(connection: Connection, store: Store, place: Place) -> None:
    """Create what is missing. Any number of processes may do so at the same time."""
    if not await _missing(store, place):
        return
    transaction = connection.transaction()
    await transaction.start()
    try:
        await store.rows("open.lock", lock=store.sql.tables.lock)
        # Looked up again: somebody else may have been faster while this one waited for the lock.
        for what in await _missing(store, place):
            await _create(store, place, what)
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.commit()


def schema_sql(sql: Statements) -> str:
    """What :func:`ensure_schema` does in an empty database, as plain SQL."""
    kinds = _wanted(sql.tables)
    statements = [text for kind, _ in kinds for text in sql.verb(kind).values()]
    facts = ", ".join(f"('{kind}', '{name}', '{VERSION}')" for kind, name in kinds)
    noted = sql.text("open.note_all", {"facts": facts})
    return "".join(f"{text};\n\n" for text in ["BEGIN", *statements, noted, "COMMIT"]).rstrip("\n")


def _wanted(tables: Tables) -> list[tuple[str, str]]:
    return [("schema", "version"), ("failed", tables.failed)]


async def _missing(store: Store, place: Place) -> list[tuple[str, str]]:
    tables = store.sql.tables
    if not await _has_table(store, tables.meta):
        return _wanted(tables)
    facts = {(kind, name): value for kind, name, value in await store.rows("open.facts")}
    version = facts.get(("schema", "version"))
    if version != VERSION:
        raise DriverError(
            f"The tables {tables.schema}.{tables.jobs} at {place.location} have version "
            f"{version} and this asyncqueue knows version {VERSION}; install a matching "
            "asyncqueue or name other tables."
        )
    return [what for what in _wanted(tables) if what not in facts]


async def _create(store: Store, place: Place, what: tuple[str, str]) -> None:
    tables = store.sql.tables
    kind, name = what
    table = tables.jobs if kind == "schema" else tables.failed
    if await _has_table(store, table):
        raise DriverError(
            f"The database at {place.location} has a table {tables.schema}.{table} already that "
            "is not this queue's; give other names with table, failed_table and schema."
        )
    has_schema = await store.value("open.has_schema", schema=tables.schema)
    for title, statement in store.sql.verb(kind).items():
        # Whoever may not create schemas can still use one that is there.
        if title != "schema" or not has_schema:
            await store.connection.execute(statement)
    await store.change("open.note", kind=kind, name=name, value=VERSION)


async def _has_table(store: Store, table: str) -> bool:
    schema = store.sql.tables.schema
    return bool(await store.value("open.has_table", schema=schema, table=table))
