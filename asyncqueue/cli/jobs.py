"""The verbs for single jobs: jobs, show, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asyncqueue.cli.connect import Operator, operating
from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.ids import full_id
from asyncqueue.cli.output import encoded
from asyncqueue.cli.program import Verb
from asyncqueue.cli.text import ago, escaped, shortened
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.attempts import Attempt
    from asyncqueue.queue import JobInfo, Page, Queue


@click.command(cls=Verb)
@click.option("--queue", "queue_name", metavar="QUEUE", help="Only this queue or lane.")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only these.")
@click.option("--name", metavar="KIND", help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on behind an earlier page.")
@operating
def jobs(
    operator: Operator,
    queue_name: str | None,
    state: str | None,
    name: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List jobs, newest first."""

    async def work(queue: Queue) -> None:
        try:
            page = await queue.jobs(
                queue=queue_name, state=state, name=name, limit=limit, cursor=cursor
            )
        except ValueError as error:
            raise wrong_use(str(error)) from error
        _print_page(operator, page)

    operator.run(work)


def _print_page(operator: Operator, page: Page[JobInfo]) -> None:
    rows = [
        (
            job.id,
            job.name,
            job.queue,
            job.state.value,
            f"{job.attempts}/{job.max_attempts}",
            ago(job.created_at),
            shortened(job.error or "", 40),
        )
        for job in page.items
    ]
    headings = ("id", "name", "queue", "state", "attempts", "created", "error")
    operator.out.table(page, headings, rows, "No jobs.")
    if page.next:
        operator.out.note(f"More: --cursor {page.next}")


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@operating
def show(operator: Operator, job_id: str) -> None:
    """Show everything about one job; ID may be the beginning of an id."""

    async def work(queue: Queue) -> None:
        info = await queue.status(await full_id(queue, job_id))
        operator.out.pairs(info, _described(info))

    operator.run(work)


def _described(info: JobInfo) -> list[tuple[str, str]]:
    pairs = [
        ("id", info.id),
        ("name", info.name),
        ("queue", info.queue),
        ("state", info.state.value),
        ("attempts", f"{info.attempts} of {info.max_attempts}"),
        ("priority", str(info.priority)),
    ]
    for label, moment in (
        ("created", info.created_at),
        ("due", info.available_at),
        ("started", info.started_at),
        ("finished", info.finished_at),
    ):
        if moment is not None:
            pairs.append((label, f"{moment:%Y-%m-%d %H:%M:%S %Z} ({ago(moment)})"))
    if info.progress:
        pairs.append(("progress", f"{info.progress:g} % {info.message}".strip()))
    if info.result is not None:
        pairs.append(("result", encoded(info.result).decode()))
    if info.worker:
        pairs.append(("worker", info.worker))
    if info.error:
        pairs.append(("error", escaped(info.error)))
    pairs += [(f"attempt {attempt.number}", _told(attempt)) for attempt in info.history]
    return pairs


def _told(attempt: Attempt) -> str:
    where = f" on {attempt.worker}" if attempt.worker else ""
    error = f": {shortened(attempt.error, 80)}" if attempt.error else ""
    return f"{attempt.state} after {attempt.duration:.3g} s{where}{error}"


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@operating
def explain(operator: Operator, job_id: str) -> None:
    """Say why a job is not running, or what became of it; ID may be the beginning of an id."""

    async def work(queue: Queue) -> None:
        told = await queue.explain(await full_id(queue, job_id))
        operator.out.line(told, escaped(told.text))

    operator.run(work)


@click.command(cls=Verb)
@operating
def ps(operator: Operator) -> None:
    """List every job that runs, since when, where, and which line of source it has got to."""

    async def work(queue: Queue) -> None:
        found = await queue.running()
        rows = [
            (
                job.id,
                job.name,
                job.queue,
                str(job.attempt),
                ago(job.started_at),
                f"{job.host}:{job.pid}" if job.host else f"{job.worker} (gone)",
                escaped(job.place) or "-",
            )
            for job in found
        ]
        headings = ("id", "name", "queue", "attempt", "started", "worker", "at")
        operator.out.table(found, headings, rows, "Nothing runs.")

    operator.run(work)


@click.command(cls=Verb)
@click.argument("job_id", metavar="ID")
@operating
def cancel(operator: Operator, job_id: str) -> None:
    """Cancel a waiting or running job; ID may be the beginning of an id.

    A running one is cancelled by its worker within about a second.
    """

    async def work(queue: Queue) -> None:
        id = await full_id(queue, job_id)
        state = (await queue.status(id)).state
        if not await queue.cancel(id):
            state = (await queue.status(id)).state
            raise Failure(
                f"Job {id} is {state.value} already; there is nothing to cancel.",
                kind="NotCancellable",
            )
        how = "asked to cancel it" if state is State.PROCESSING else "cancelled"
        operator.out.line({"id": id, "cancelled": True, "was": state.value}, f"{id}: {how}.")

    operator.run(work)
