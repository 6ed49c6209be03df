"""Creating the tables, bringing older ones up to date, and recognising those of the future."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.migrations import PARTS, Part, Step, Steps
from asyncqueue.drivers.postgres.failures import lacks_rights
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.names import Tables
    from asyncqueue.drivers.postgres.place import Place
    from asyncqueue.drivers.postgres.statements import Statements
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Connection

STEPS: Final = Steps(files("asyncqueue.drivers.postgres") / "sql" / "migrations")
OLDEST_SERVER: Final = 14


def check_server(connection: Connection, place: Place) -> None:
    """Raise DriverError for a server that lacks what is needed."""
    version = connection.get_server_version()[0]
    if version < OLDEST_SERVER:
        raise DriverError(
            f"PostgreSQL at {place.location} is version {version}; asyncqueue needs "
            f"{OLDEST_SERVER} or newer."
        )


async def missing_steps(store: Store, place: Place) -> list[Step]:
    """What the tables lack; raises DriverError where a newer asyncqueue has changed them."""
    tables = store.sql.tables
    versions: dict[Part, str | None] = dict.fromkeys(PARTS)
    if await _has_table(store, tables.meta):
        facts = {(kind, name): value for kind, name, value in await store.rows("open.facts")}
        versions = {part: facts.get(_fact(part, tables)) for part in versions}
    where = f"The tables {tables.schema}.{tables.jobs} at {place.location}"
    return STEPS.missing(versions, where)


async def upgrade(connection: Connection, store: Store, place: Place) -> list[Step]:
    """Take the missing steps, all or none. Any number of processes may do so at the same time."""
    steps: list[Step] = []
    transaction = connection.transaction()
    await transaction.start()
    try:
        await store.rows("open.lock", lock=store.sql.tables.lock)
        await connection.execute(store.sql.text("open.hurry"))
        # Looked up again: somebody else may have been faster while this one waited for the lock.
        steps = await missing_steps(store, place)
        for step in steps:
            await _take(store, place, step)
        if steps:
            await connection.execute(_note(store.sql))
    except BaseException as error:
        await transaction.rollback()
        if lacks_rights(error):
            raise _may_not(store.sql.tables, place, steps, error) from error
        raise
    await transaction.commit()
    return steps


def schema_sql(sql: Statements, since: int) -> str:
    """What :func:`upgrade` does with the tables of that version, as plain SQL."""
    steps = STEPS.after(since)
    texts = [text for step in steps for text in sql.script(step.text).values()]
    statements = ["BEGIN", *texts, *([_note(sql)] if steps else []), "COMMIT"]
    return "".join(f"{text};\n\n" for text in statements).rstrip("\n")


def described(step: Step, tables: Tables) -> str:
    """A line for whoever asked for it."""
    return f"{step.number:03} {tables.schema}.{_table(step.part, tables)}: {step.title}"


async def _take(store: Store, place: Place, step: Step) -> None:
    tables = store.sql.tables
    table = _table(step.part, tables)
    if step.number == 1 and await _has_table(store, table):
        raise DriverError(
            f"The database at {place.location} has a table {tables.schema}.{table} already that "
            "is not this queue's; give other names with table, failed_table and schema."
        )
    has_schema = await store.value("open.has_schema", schema=tables.schema)
    for title, statement in store.sql.script(step.text).items():
        # Whoever may not create schemas can still use one that is there.
        if title != "schema" or not has_schema:
            await store.connection.execute(statement)


def _note(sql: Statements) -> str:
    """The statement that notes that all parts are of the newest version now."""
    facts = [_fact(part, sql.tables) for part in PARTS]
    rows = ", ".join(f"('{kind}', '{name}', '{STEPS.newest}')" for kind, name in facts)
    return sql.text("open.note", {"facts": rows})


def _fact(part: Part, tables: Tables) -> tuple[str, str]:
    """Under which kind and name the version of a part is noted."""
    return ("schema", "version") if part == "jobs" else ("failed", tables.failed)


def _table(part: Part, tables: Tables) -> str:
    return tables.jobs if part == "jobs" else tables.failed


async def _has_table(store: Store, table: str) -> bool:
    schema = store.sql.tables.schema
    return bool(await store.value("open.has_table", schema=schema, table=table))


def _may_not(
    tables: Tables, place: Place, steps: Sequence[Step], error: BaseException
) -> DriverError:
    first = min(step.number for step in steps)
    lack = "lack the newest changes" if first > 1 else "are not all there"
    since = f" --from {first - 1}" if first > 1 else ""
    return DriverError(
        f"The tables {tables.schema}.{tables.jobs} at {place.location} {lack}, and this user may "
        f"not make them ({error}): run `asyncqueue migrate` as a user who may, or what `asyncqueue "
        f"migrate --sql{since}` prints; then grant the user of the queue SELECT, INSERT, UPDATE "
        "and DELETE on them."
    )
