"""The verbs for queues: stats, size, monitor, pause, resume, clear, workers, restart, migrate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from asyncqueue.cli.connect import Operator, operating
from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.program import Verb
from asyncqueue.cli.text import ago, counted, duration

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from asyncqueue.drivers.base import Driver
    from asyncqueue.queue import Queue


@click.command(cls=Verb)
@operating
def stats(operator: Operator) -> None:
    """Count the jobs of every queue by state."""

    async def work(queue: Queue) -> None:
        counts = await queue.stats()
        rows = [
            (
                name,
                row.pending,
                row.delayed,
                row.processing,
                row.completed,
                row.failed,
                duration(row.oldest_seconds) if row.oldest_seconds else "-",
                "paused" if row.paused else "-",
            )
            for name, row in counts.items()
        ]
        headings = ("queue", "pending", "delayed", "processing", "completed", "failed")
        operator.out.table(counts, (*headings, "oldest", "paused"), rows, "No queues.")

    operator.run(work)


@click.command(cls=Verb)
@click.argument("queue_name", metavar="[QUEUE]", required=False)
@operating
def size(operator: Operator, queue_name: str | None) -> None:
    """Count what waits in a queue or lane: ready and delayed, not running."""

    async def work(queue: Queue) -> None:
        name = queue_name or queue.settings.default
        waiting = await queue.size(name)
        operator.out.line({"queue": name, "size": waiting}, str(waiting))

    operator.run(work)


@click.command(cls=Verb)
@click.argument("queue_names", metavar="[QUEUE]...", nargs=-1)
@click.option("--threshold", type=click.IntRange(1), default=1000, show_default=True)
@operating
def monitor(operator: Operator, queue_names: tuple[str, ...], threshold: int) -> int:
    """Tell which queues or lanes have so many waiting jobs, or more; for a timer.

    Exit code 1 where there is one.
    """
    busy: dict[str, int] = {}

    async def work(queue: Queue) -> None:
        names = queue_names or (queue.settings.default,)
        busy.update(await queue.monitor(*names, threshold=threshold))
        none = f"Fewer than {counted(threshold, 'job')} in {', '.join(names)}."
        operator.out.table({"busy": busy}, ("queue", "size"), tuple(busy.items()), none)

    operator.run(work)
    return 1 if busy else 0


@click.command(cls=Verb)
@click.argument("queue_name", metavar="QUEUE")
@operating
def pause(operator: Operator, queue_name: str) -> None:
    """Start nothing new from a queue, in any worker; what runs goes on."""

    async def work(queue: Queue) -> None:
        await _whole_queue(queue.pause(queue_name))
        operator.out.line(
            {"queue": queue_name, "paused": True},
            f"{queue_name} is paused; asyncqueue resume {queue_name} ends that.",
        )

    operator.run(work)


@click.command(cls=Verb)
@click.argument("queue_name", metavar="QUEUE")
@operating
def resume(operator: Operator, queue_name: str) -> None:
    """Let jobs of a paused queue start again."""

    async def work(queue: Queue) -> None:
        await _whole_queue(queue.resume(queue_name))
        operator.out.line({"queue": queue_name, "paused": False}, f"{queue_name} is not paused.")

    operator.run(work)


@click.command(cls=Verb)
@click.argument("queue_name", metavar="QUEUE")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operating
def clear(operator: Operator, queue_name: str, *, yes: bool) -> None:
    """Remove the waiting jobs of a queue or lane; never failed ones.

    On a terminal it asks first.
    """

    async def work(queue: Queue) -> None:
        waiting = await queue.size(queue_name)
        if waiting:
            confirm(f"Remove {counted(waiting, 'waiting job')} of {queue_name}?", yes=yes)
        removed = await queue.clear(queue_name)
        operator.out.line(
            {"queue": queue_name, "removed": removed},
            f"Removed {counted(removed, 'waiting job')} of {queue_name}.",
        )

    operator.run(work)


@click.command(cls=Verb)
@operating
def workers(operator: Operator) -> None:
    """List the live workers on the store, in whatever process."""

    async def work(queue: Queue) -> None:
        live = await queue.workers()
        rows = [
            (
                worker.id,
                worker.host,
                str(worker.pid),
                ", ".join(worker.queues),
                worker.concurrency,
                len(worker.running),
                ago(worker.started_at),
                ago(worker.last_seen),
            )
            for worker in live
        ]
        headings = ("worker", "host", "pid", "queues", "slots", "running", "started", "seen")
        operator.out.table(live, headings, rows, "No live workers.")

    operator.run(work)


@click.command(cls=Verb)
@click.argument("worker_ids", metavar="[WORKER]...", nargs=-1)
@operating
def restart(operator: Operator, worker_ids: tuple[str, ...]) -> None:
    """Let workers end after their current jobs, for a supervisor to start new ones.

    All live ones, or those of these ids. They hear of it within a third of their lease.
    """

    async def work(queue: Queue) -> None:
        asked = await queue.restart_workers(*worker_ids)
        if unknown := [id for id in worker_ids if id not in asked]:
            raise Failure(
                f"No live worker has the id {', '.join(map(repr, unknown))}.",
                "asyncqueue workers shows those there are.",
            )
        told = f"Asked {counted(len(asked), 'worker')} to end after the current jobs."
        operator.out.line({"asked": asked}, told if asked else "No live workers.")

    operator.run(work)


@click.command(cls=Verb)
@click.option("--sql", is_flag=True, help="Only print the SQL, for somebody else to run.")
@click.option(
    "--from",
    "since",
    type=click.IntRange(0),
    metavar="VERSION",
    help="With --sql: for a store of this version; default: 0, an empty one.",
)
@operating
def migrate(operator: Operator, *, sql: bool, since: int | None) -> None:
    """Create the schema of the store, or bring an older one up to date."""
    if sql:
        text = operator.queue().driver.schema_sql(since or 0)
        operator.out.block({"sql": text}, text)
        return
    if since is not None:
        raise wrong_use(
            "--from belongs to --sql; without it the store knows its version",
            "Leave it out, or add --sql.",
        )

    async def work(driver: Driver) -> None:
        applied = await driver.migrate()
        where = driver.location()
        lines = [*(f"Applied {line}" for line in applied), f"The schema in {where} is up to date."]
        fact = {"store": where, "ready": True, "applied": applied}
        operator.out.block(fact, "\n".join(lines))

    operator.run_unopened(work)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal, unless told not to."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


async def _whole_queue(call: Awaitable[None]) -> None:
    try:
        await call
    except ValueError as error:
        raise Failure(str(error), code=2, kind="UsageError") from error
