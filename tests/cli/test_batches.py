"""The verbs for batches, on an SQLite file."""

from __future__ import annotations

import asyncio
import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import BatchInfo, Context, Job, Queue, Worker

if TYPE_CHECKING:
    from .stored import Stored


class CommandMember(Job, max_attempts=1, replace=True):
    good: bool = True

    async def handle(self, ctx: Context) -> None:
        if not self.good:
            raise RuntimeError("no good")


def data(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def put(stored: Stored):
    """Dispatches a batch; runs so many jobs of it."""

    def put(*good: bool, name: str = "", run: int = 0) -> str:
        async def work() -> BatchInfo:
            async with Queue(stored.url) as queue:
                batch = queue.batch(*map(CommandMember, good)).named(name).allow_failures()
                info = await batch.dispatch()
                if run:
                    await Worker(queue, max_jobs=run, concurrency=1, stop_when_empty=True).run()
                return info

        return asyncio.run(work()).id

    return put


def test_they_are_listed(run, put):
    assert run("batch", "list").stdout == "No batches.\n"
    first = put(True, True, name="import", run=1)
    second = put(True)
    lines = run("batch", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [second, first]
    assert lines[2].split()[1:] == ["import", "under", "way", "50", "%", "2", "1", "1", "0", "0"]
    assert [item["id"] for item in data(run("batch", "list", "--json"))["items"]] == [second, first]
    shown = run("batch", "list", "--limit", "1")
    assert (len(shown.stdout.splitlines()), shown.stderr) == (2, "1 of 2; --limit shows more\n")


def test_one_is_shown(run, put):
    id = put(True, False, name="import", run=2)
    for verb in (("batch", "show", id[:-2]), ("batch", id)):
        facts = dict(line.split(maxsplit=1) for line in run(*verb).stdout.splitlines())
        assert (facts["name"], facts["state"], facts["failed"]) == ("import", "finished", "1")
        assert facts["error"] == "RuntimeError: no good"
    assert data(run("batch", id, "--json"))["completed"] == 1
    unknown = run("batch", "show", "nothing")
    assert unknown.exit_code == 1
    assert "No batch has the id 'nothing'" in unknown.stderr
    assert run("batch", "no").exit_code == 2


@pytest.mark.case("CLI-07")
def test_one_is_cancelled(run, stored: Stored, put):
    id, other = put(True, True, True), put(True)
    assert run("batch", "cancel", id).stdout == f"{id}: cancelled, 3 jobs skipped.\n"
    again = run("batch", "cancel", id)
    assert again.exit_code == 1
    assert "is cancelled already; there is nothing to cancel" in again.stderr
    states = {job.batch_id: job.state.value for job in stored.jobs().values()}
    assert states == {id: "cancelled", other: "pending"}


@pytest.mark.case("CLI-07")
def test_failed_jobs_of_one_are_retried(run, stored: Stored, put):
    id = put(True, False, False, run=3)
    put(False, run=1)
    assert run("batch", "retry", id).stdout == f"2 jobs of batch {id} back on the queue.\n"
    again = [job.batch_id for job in stored.jobs().values() if job.state.value == "pending"]
    assert again == [id, id]
    assert data(run("batch", "retry", id, "--json")) == {"id": id, "retried": 0}


def test_one_of_very_many_members_is_retried_like_the_first(run, stored: Stored, put, monkeypatch):
    jobs = Queue.jobs

    async def one_by_one(queue: Queue, *, limit: int, **which: Any) -> Any:
        return await jobs(queue, limit=min(limit, 1), **which)

    monkeypatch.setattr(Queue, "jobs", one_by_one)
    id = put(False, False, False, run=3)
    assert run("batch", "retry", id).stdout == f"3 jobs of batch {id} back on the queue.\n"


def test_one_that_has_finished_is_not_cancelled(run, put):
    told = run("batch", "cancel", id := put(True, run=1))
    assert told.exit_code == 1
    assert f"Batch {id} is finished already; there is nothing to cancel" in told.stderr


def test_the_beginning_of_several_ids_is_refused(run, put):
    first, second = put(True), put(True)
    same = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(first, second, strict=True)))
    beginning = first[:same]
    told = run("batch", "cancel", beginning)
    assert told.exit_code == 2
    assert f"{beginning!r} is the beginning of 2 ids of batches" in told.stderr
    assert run("batch", "cancel", second[: len(beginning) + 1]).exit_code == 0


@pytest.mark.case("CLI-07")
def test_old_ones_are_forgotten(run, put):
    put(True, run=1)
    unfinished = put(True)
    assert run("batch", "prune").stdout == "Removed 0 batches.\n"
    assert run("batch", "prune", "--finished", "0s").stdout == "Removed 1 batch.\n"
    assert [item["id"] for item in data(run("batch", "list", "--json"))["items"]] == [unfinished]
    assert data(run("batch", "prune", "--unfinished", "0s", "--json")) == {"removed": 1}
