"""A plan is made once, on a table as full as it is then, and used for as long as a worker lives.

A table that was just cleaned up is the worst moment: to read all of it looks as cheap as to look a
row up. Thousands of jobs later each call would still read everything for every job it is about.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from asyncqueue.drivers.postgres.names import Tables
from asyncqueue.drivers.postgres.place import Place
from asyncqueue.drivers.postgres.statements import Statement, Statements
from asyncqueue.drivers.postgres.wire import connect

from .acts import record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    import asyncpg

    from asyncqueue.drivers.postgres import PostgresDriver

    from ...servers.schemas import Schema

GROWING: Final = ("jobs", "failed_jobs", "jobs_latches", "jobs_permits")
"""The tables that can be of any size."""
COMPOSED: Final = {
    "settle.settle": ("answer", ("settle.all", "settle.each")),
    "claim.take": ("ready_jobs", ("claim.from_the_beginning", "claim.from_the_mark")),
    "claim.take_next": ("ready_jobs", ("claim.from_the_beginning", "claim.from_the_mark")),
    "claim.take_plain": ("ready_jobs", ("claim.from_the_beginning", "claim.from_the_mark")),
}
VERBS: Final = ("claim", "enqueue", "latches", "leases", "permits", "restricted", "settle")
"""The files whose statements workers and producers live on."""
LISTS: Final = {"latches.read"}
"""What may be about everything, and is asked by operators."""
RUNNING: Final = "jobs_leased"
"""This index holds no more than the jobs that run, which may be read as a whole."""


@pytest.fixture
async def tuned(postgres_schema: Schema) -> AsyncGenerator[asyncpg.Connection]:
    place = Place(postgres_schema.dsn, pool_size=2, patience=10, statement_cache_size=100)
    connection: Any = await connect(place, tuned=True, timeout=10)
    yield connection
    await connection.close()


def all_statements(schema: str) -> Iterator[tuple[str, Statement]]:
    sql = Statements(Tables(schema, "jobs", "failed_jobs"))
    pieces = {piece for _, some in COMPOSED.values() for piece in some}
    for verb in VERBS:
        for name in sql.titles(verb):
            address = f"{verb}.{name}"
            if address in COMPOSED:
                mark, some = COMPOSED[address]
                yield from ((f"{address} {one}", sql.composed(address, mark, one)) for one in some)
            elif address not in pieces:
                yield address, sql[address]


async def scans(connection: asyncpg.Connection, statement: Statement) -> list[dict[str, Any]]:
    """The nodes of its plan that read a table."""
    prepared = await connection.prepare(statement.text)
    values = ", ".join("NULL" for _ in prepared.get_parameters())
    call = f"{prepared.get_name()}({values})" if values else prepared.get_name()
    plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {call}")
    left, found = [json.loads(plan)[0]["Plan"]], []
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        if node["Node Type"].endswith("Scan") and "Relation Name" in node:
            found.append(node)
    return found


@pytest.mark.parametrize("known", [0, 3])
async def test_no_plan_reads_whole_tables_later_on(
    driver: PostgresDriver, postgres_schema: Schema, tuned: asyncpg.Connection, known: int
) -> None:
    await driver.enqueue([record(f"{n}") for n in range(known)])
    for table in GROWING:
        await tuned.execute(f'VACUUM ANALYZE "{postgres_schema.name}"."{table}"')
    wrong = {
        f"{address}: {node['Node Type']} of {node['Relation Name']}"
        for address, statement in all_statements(postgres_schema.name)
        if address not in LISTS
        for node in await scans(tuned, statement)
        if node["Relation Name"] in GROWING
        and node.get("Index Name") != RUNNING
        and not {"Index Cond", "TID Cond"} & node.keys()
    }
    assert wrong == set()
