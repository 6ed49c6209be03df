"""A process that dies in a verb, before its k-th statement, for every k: ``dying.py FOLDER VERB``.

``FOLDER/before.db`` is the store, and ``claims.json`` what of it is claimed. Each death happens
in a fork of its own, on a copy, ``k.db``. Prints how many
there were; in the last fork nothing died.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import msgspec

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.record import Claim
from asyncqueue.testing import Clock
from tests.crashpoints.verbs import SECONDS, VERBS, Verb

MOST = 100


class Countdown:
    """Ends the process at the start of so-manyeth statement of any connection."""

    def __init__(self, k: int) -> None:
        self.left = k
        self.counting = False

    def __call__(self, statement: str) -> None:
        if self.counting:
            self.left -= 1
            if self.left == 0:
                os._exit(9)


def die_in(folder: Path, verb: Verb, claims: list[Claim], k: int) -> None:
    """What a fork does: returns when the verb came to its end."""
    shutil.copy(folder / "before.db", folder / f"{k}.db")
    countdown, connect = Countdown(k), sqlite3.connect

    def traced(*args, **options):
        connection = connect(*args, **options)
        connection.set_trace_callback(countdown)
        return connection

    sqlite3.connect = traced
    asyncio.run(
        call(SqliteDriver(folder / f"{k}.db", clock=clock_of(verb)), verb, claims, countdown)
    )


async def call(driver: SqliteDriver, verb: Verb, claims: list[Claim], countdown: Countdown) -> None:
    await driver.open()
    countdown.counting = True
    await verb.call(driver, claims)
    os._exit(0)  # It is done, and nobody hears of it.


def clock_of(verb: Verb) -> Clock:
    clock = Clock()
    clock.advance(SECONDS if verb.late else 0)
    return clock


def main(folder: Path, name: str) -> None:
    verb = VERBS[name]
    claims = msgspec.json.decode((folder / "claims.json").read_bytes(), type=list[Claim])
    for k in range(1, MOST):
        child = os.fork()
        if not child:
            die_in(folder, verb, claims, k)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            print(k)
            return
        assert os.waitstatus_to_exitcode(status) == 9, status
    raise AssertionError(f"{name} never ended")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
