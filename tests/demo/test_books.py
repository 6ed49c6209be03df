"""Whoever changes a book is found out."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Queue
from asyncqueue.demo.folder import Folder
from asyncqueue.demo.journal import Entry, Journal
from asyncqueue.demo.main import main
from tests.demo.running import BAD_SYNTAX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo.running import Demo


@pytest.fixture
def folder(balanced: Demo, tmp_path: Path) -> Folder:
    """A copy of what a demo left."""
    return Folder(shutil.copytree(balanced.folder.directory, tmp_path / "copy"))


def some_path(folder: Folder) -> str:
    return folder.manifest.paths[0]


def change(folder: Folder, statement: str, *parameters: object) -> None:
    with closing(folder.connect()) as connection:
        connection.execute(statement, parameters)


async def lose_a_row(folder: Folder) -> str:
    change(folder, "DELETE FROM file_index WHERE path = ?", some_path(folder))
    return f"1 files are lost, such as {some_path(folder)}"


async def add_a_row(folder: Folder) -> str:
    change(folder, "INSERT INTO file_index (path, bytes) VALUES ('stranger.py', 1)")
    return "in the index though nobody posted them"


async def index_a_failed_file(folder: Folder) -> str:
    change(folder, "INSERT INTO file_index (path, bytes) VALUES (?, 1)", BAD_SYNTAX)
    return "both in the index and in the failed store"


async def run_once_more(folder: Folder) -> str:
    journal = Journal(folder.journal)
    journal.note("started", some_path(folder), 2)
    journal.note("done", some_path(folder), 2)
    journal.close()
    return "run twice though no killed worker had them in hand"


async def forget_a_failure(folder: Folder) -> str:
    async with Queue(folder.url) as queue:
        await queue.failed.forget((await queue.failed.list()).items[0].id)
    return "1 files are lost"


async def lose_the_report(folder: Folder) -> str:
    change(folder, "DELETE FROM report")
    return "the report of the batch should be one, and right: []"


async def report_twice(folder: Folder) -> str:
    change(folder, "INSERT INTO report SELECT 2, completed, failed, 0, 0, 0, 0 FROM report")
    return "the report of the batch should be one, and right: [Reported("


async def leave_a_job(folder: Folder) -> str:
    async with Queue(folder.url) as queue:
        await queue.failed.retry_all()
    return "2 jobs are not finished"


def test_what_nobody_touched_balances(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(folder.directory)]) == 0
    assert "The books balance." in capsys.readouterr().out


@pytest.mark.parametrize(
    "tamper",
    [
        *(lose_a_row, add_a_row, index_a_failed_file, run_once_more, forget_a_failure),
        *(lose_the_report, report_twice, leave_a_job),
    ],
)
def test_what_somebody_touched_does_not(
    folder: Folder, tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = asyncio.run(tamper(folder))
    assert main(["--check", str(folder.directory)]) == 1
    output = capsys.readouterr().out
    assert problem in output
    assert "do NOT balance" in output


def test_a_run_in_the_hand_of_a_killed_worker_is_explained(folder: Folder) -> None:
    journal = Journal(folder.journal)
    path = some_path(folder)
    journal._append(Entry("started", 1, path, 1))
    journal.note_death("worker 1", 1)
    journal.close()
    assert main(["--check", str(folder.directory)]) == 0
