"""The verbs for the failed store: list, show, retry, forget, flush, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from asyncqueue.cli.connect import Operator, operating
from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.ids import UnknownId, full_id
from asyncqueue.cli.output import encoded
from asyncqueue.cli.parameters import SPAN
from asyncqueue.cli.program import Verbs
from asyncqueue.cli.queues import confirm
from asyncqueue.cli.text import ago, counted, duration, escaped
from asyncqueue.errors import JobNotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.queue import FailedJob, Queue


@click.group(cls=Verbs)
def failed() -> None:
    """Look after jobs that failed for good."""


@failed.command("list")
@click.option("--queue", "queue_name", metavar="QUEUE", help="Only this queue or lane.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@operating
def list_failed(operator: Operator, queue_name: str | None, limit: int, offset: int) -> None:
    """List them, newest first."""

    async def work(queue: Queue) -> None:
        page = await queue.failed.list(queue_name, limit, offset)
        rows = [
            (job.id, job.name, job.queue, job.attempts, ago(job.failed_at), job.error)
            for job in page.items
        ]
        headings = ("id", "name", "queue", "attempts", "failed", "error")
        operator.out.table(page, headings, rows, "No failed jobs.")
        if page.total > len(page.items):
            shown = f"{len(page.items)} of {page.total:,}"
            operator.out.note(f"{shown}; --limit and --offset show more")

    operator.run(work)


@failed.command()
@click.argument("job_id", metavar="ID")
@operating
def show(operator: Operator, job_id: str) -> None:
    """Show one with its payload and traceback; ID may be the beginning of an id."""

    async def work(queue: Queue) -> None:
        job = await queue.failed.get(await full_id(queue, job_id, failed=True))
        operator.out.pairs(job, _described(job))

    operator.run(work)


def _described(job: FailedJob) -> list[tuple[str, str]]:
    pairs = [
        ("id", job.id),
        ("name", job.name),
        ("queue", job.queue),
        ("attempts", str(job.attempts)),
        ("failed", f"{job.failed_at:%Y-%m-%d %H:%M:%S %Z} ({ago(job.failed_at)})"),
        ("payload", encoded(job.payload).decode()),
        ("error", escaped(job.error)),
    ]
    if job.traceback:
        pairs.append(("traceback", job.traceback.rstrip("\n")))
    return pairs


@failed.command()
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--queue", "queue_name", metavar="QUEUE", help="All of this queue or lane.")
@click.option("--name", metavar="KIND", help="All of this kind.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@operating
def retry(
    operator: Operator,
    job_ids: tuple[str, ...],
    queue_name: str | None,
    name: str | None,
    *,
    everything: bool,
) -> None:
    """Put failed jobs back on their queues with fresh attempts.

    Each ID may be the beginning of an id. Those of no failed job are named at the end.
    """
    some = bool(queue_name or name)
    if sum((bool(job_ids), some, everything)) != 1:
        raise wrong_use("Say which: ids, or --queue and --name, or --all")

    async def work(queue: Queue) -> None:
        missing: list[str] = []
        if job_ids:
            retried, missing = await _done_to_each(queue, job_ids, queue.failed.retry)
        else:
            retried = await queue.failed.retry_all(queue_name, name)
        text = f"{counted(retried, 'job')} back on the queue."
        _tell(operator, "retried", retried, text, missing)

    operator.run(work)


@failed.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@operating
def forget(operator: Operator, job_ids: tuple[str, ...]) -> None:
    """Remove the records of some; each ID may be the beginning of an id.

    Those of no failed job are named at the end.
    """

    async def work(queue: Queue) -> None:
        removed, missing = await _done_to_each(queue, job_ids, queue.failed.forget)
        _tell(operator, "removed", removed, _removed(removed), missing)

    operator.run(work)


@failed.command()
@click.option("--older-than", type=SPAN, help="Only those that failed longer ago, such as 7d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operating
def flush(operator: Operator, older_than: float | None, *, yes: bool) -> None:
    """Remove all of them. On a terminal it asks first."""

    async def work(queue: Queue) -> None:
        which = "all" if older_than is None else f"those older than {duration(older_than)}"
        confirm(f"Remove failed jobs, {which}?", yes=yes)
        removed = await queue.failed.flush(older_than)
        operator.out.line({"removed": removed}, _removed(removed))

    operator.run(work)


@failed.command()
@click.option("--older-than", type=SPAN, required=True, help="How long ago they failed: 7d, 12h.")
@operating
def prune(operator: Operator, older_than: float) -> None:
    """Remove the old ones; for a timer, so it never asks."""

    async def work(queue: Queue) -> None:
        removed = await queue.failed.prune(older_than)
        operator.out.line({"removed": removed}, _removed(removed))

    operator.run(work)


async def _done_to_each(
    queue: Queue, given: tuple[str, ...], act: Callable[[str], Awaitable[None]]
) -> tuple[int, list[str]]:
    """Do it to the job of each id; answers to how many it was done, and which ids are of none.

    All ids are looked up before anything is done to the first of them: one that could mean
    several jobs stops all of it.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    for one in given:
        try:
            found[await full_id(queue, one, failed=True)] = one
        except UnknownId:
            missing.append(one)
    done = len(found)
    for id, one in found.items():
        try:
            await act(id)
        except JobNotFound:  # Somebody else was quicker.
            missing.append(one)
            done -= 1
    return done, missing


def _tell(operator: Operator, what: str, count: int, text: str, missing: list[str]) -> None:
    fact: dict[str, Any] = {what: count}
    if missing:
        fact["missing"] = missing
    if count or not missing:
        operator.out.line(fact, text)
    if missing:
        raise Failure(
            f"No failed job has the id {' or '.join(map(repr, missing))}, nor one that begins so.",
            "asyncqueue failed list shows those there are.",
            kind="JobNotFound",
        )


def _removed(count: int) -> str:
    return f"Removed {counted(count, 'failed job')}."
