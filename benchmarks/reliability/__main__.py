"""Print the report card, as the tables of docs/explanation/reliability.md.

``python -m benchmarks.reliability``; about ten minutes. ``--runs 3`` gives ranges.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.reliability import rounds
from benchmarks.reliability.places import scene_on
from tests.faults.jobs import Blocking, Labour

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.faults.scene import Scene

STORES = ("sqlite", "postgres", "redis")
SERVERS = ("postgres", "redis")
PEERS: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("peers.toml").read_text("utf-8")
)


class Table(NamedTuple):
    """A table: its columns, on which stores it is measured, and how."""

    name: str
    title: str
    columns: Sequence[str]
    stores: Sequence[str]
    round: Callable[[Scene], Awaitable[rounds.Row]]


TABLES = (
    Table(
        "kill",
        "`kill -9`, twice, default settings (lease 30 s)",
        ("not run", "all done after", "run twice"),
        STORES,
        lambda scene: rounds.killed_twice(scene, 30.0),
    ),
    Table(
        "kill5",
        "`kill -9`, twice, set up for quick recovery (leases of 5 s)",
        ("not run", "all done after", "run twice"),
        STORES,
        lambda scene: rounds.killed_twice(scene, 5.0),
    ),
    Table(
        "stop",
        "SIGTERM, twice",
        ("gone after", "cancelled", "not run", "all done after", "run twice"),
        STORES,
        rounds.stopped_twice,
    ),
    Table(
        "restart",
        "The server is stopped for 3 s, and 30 more jobs come",
        ("goes on by itself", "first job after", "not run", "run twice"),
        SERVERS,
        lambda scene: rounds.server_away(scene, "restart"),
    ),
    Table(
        "crash",
        "The server is killed, and back after 3 s",
        ("goes on by itself", "first job after", "not run", "run twice"),
        SERVERS,
        lambda scene: rounds.server_away(scene, "crash"),
    ),
    Table(
        "silence",
        "All open connections fall silent; new ones work",
        ("goes on after",),
        SERVERS,
        rounds.black_hole,
    ),
    Table(
        "long",
        "4 jobs of 20 s, leases of 5 s, two workers",
        ("starts per job",),
        STORES,
        lambda scene: rounds.long_jobs(scene, Labour),
    ),
    Table(
        "blocked",
        "The same, the event loop blocked",
        ("starts per job",),
        STORES,
        lambda scene: rounds.long_jobs(scene, Blocking),
    ),
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    names = [table.name for table in TABLES]
    parser.add_argument("tables", nargs="*", metavar="table", help=f"of {', '.join(names)}")
    parser.add_argument("--runs", type=int, default=1, help="of each row")
    options = parser.parse_args()
    unknown = set(options.tables) - set(names)
    if unknown:
        parser.error(f"no table {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}\n")
    for table in TABLES:
        if not options.tables or table.name in options.tables:
            asyncio.run(show(table, options.runs))


async def show(table: Table, runs: int) -> None:
    """Print a table, row by row."""
    print(f"### {table.title}\n")
    print("| worker | " + " | ".join(table.columns) + " |")
    print("|---" * (len(table.columns) + 1) + "|", flush=True)
    for store in table.stores:
        rows = [await one(table, store) for _ in range(runs)]
        cells = [spread([row[column] for row in rows]) for column in table.columns]
        print(f"| **asyncqueue, {store}** | " + " | ".join(cells) + " |", flush=True)
    for name, cells in PEERS.get(table.name, {}).items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(flush=True)


async def one(table: Table, store: str) -> rounds.Row:
    """One run."""
    async with scene_on(store) as scene:
        row = await table.round(scene)
        alive = all(worker.popen.poll() is None for worker in scene.workers[-1:])
        return {"goes on by itself": "yes" if alive else "no"} | row


def spread(values: Sequence[float | str]) -> str:
    """One value, or the least and the greatest of several."""
    shown = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in values]
    if len(set(shown)) == 1:
        return shown[0]
    if any(isinstance(value, str) for value in values):
        return "; ".join(sorted(set(shown)))
    least, greatest = (edge(values, key=float) for edge in (min, max))
    return f"{spread([least])}\N{EN DASH}{spread([greatest])}"


if __name__ == "__main__":
    main()
