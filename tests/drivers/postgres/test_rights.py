"""Users with as few rights as the guide says do everything that they have to, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.errors import DriverError
from asyncqueue.testing import Clock

from ...crashpoints.verbs import SECONDS, VERBS, offered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RIGHTS = {
    "worker": {"ALL TABLES IN SCHEMA {schema}": "SELECT, INSERT, UPDATE, DELETE"},
    "producer": {
        "{schema}.jobs": "SELECT, INSERT, UPDATE, DELETE",
        "{schema}.jobs_latches": "SELECT, INSERT, UPDATE",
        "{schema}.failed_jobs, {schema}.jobs_meta": "SELECT",
    },
}
DENIED = (
    "settle as failed",
    "settle a failure",
    "requeue",
    "pause",
    "announce",
    "forget a batch",
)
"""What a producer cannot do, by the beginnings of the names."""


@pytest.fixture(params=sorted(RIGHTS))
async def limited(request, driver: PostgresDriver, postgres_schema) -> AsyncIterator[Any]:
    """A driver of a user who has only these rights, on tables that somebody else made."""
    schema, role = postgres_schema.name, f"{postgres_schema.name}_{request.param}"
    owner = await asyncpg.connect(postgres_schema.dsn)
    await owner.execute(f'CREATE ROLE "{role}" LOGIN; GRANT USAGE ON SCHEMA "{schema}" TO "{role}"')
    for tables, rights in RIGHTS[request.param].items():
        on = tables.format(schema=f'"{schema}"')
        await owner.execute(f'GRANT {rights} ON {on} TO "{role}"')
    user, _, host = postgres_schema.dsn.partition("://")[2].rpartition("@")
    assert user
    limited = PostgresDriver(f"postgresql://{role}@{host}", schema=schema, clock=Clock())

    async def empty() -> None:
        names = ("jobs", "failed_jobs", "jobs_latches", "jobs_permits", "jobs_openings")
        tables = ", ".join(f'"{schema}".{name}' for name in names)
        await owner.execute(f"TRUNCATE {tables}")

    yield request.param, limited, empty
    await limited.close()
    await owner.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
    await owner.close()


async def test_every_verb(limited: Any, driver: PostgresDriver):
    who, theirs, empty = limited
    await theirs.open()
    await theirs.ping()
    for name, verb in VERBS.items():
        if not offered(name, driver):
            continue
        claims = await verb.prepare(driver)
        driver.clock.advance(SECONDS if verb.late else 0)
        theirs.clock.advance(SECONDS if verb.late else 0)
        if who == "producer" and name.startswith(DENIED):
            with pytest.raises(DriverError, match="permission denied"):
                await verb.call(theirs, claims)
        elif who == "worker" or name.startswith("enqueue"):
            await verb.call(theirs, claims)
        await empty()
