"""The verbs for batches: list, show, cancel, retry, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asyncqueue.cli.connect import Operator, operating
from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.ids import SHORTEST
from asyncqueue.cli.parameters import SPAN
from asyncqueue.cli.program import Verbs
from asyncqueue.cli.text import counted, escaped
from asyncqueue.errors import JobNotFound
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.batch import BatchInfo
    from asyncqueue.queue import Queue


class _BatchVerbs(Verbs):
    """What is no command is the id of a batch to show."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.get_command(ctx, args[0]) is not None or args[0].startswith("-")
        return super().resolve_command(ctx, args if known else ["show", *args])


@click.group(cls=_BatchVerbs)
def batch() -> None:
    """Look after batches. `asyncqueue batch ID` shows one."""


@batch.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@operating
def list_batches(operator: Operator, limit: int) -> None:
    """List batches, newest first."""

    async def work(queue: Queue) -> None:
        known = await queue.batches()
        rows = [
            (
                info.id,
                info.name,
                _state(info),
                f"{info.progress:g} %",
                info.total,
                info.pending,
                info.completed,
                info.failed,
                info.skipped,
            )
            for info in known[:limit]
        ]
        counts = ("total", "pending", "completed", "failed", "skipped")
        headings = ("id", "name", "state", "progress", *counts)
        operator.out.table({"items": known[:limit]}, headings, rows, "No batches.")
        if len(known) > limit:
            operator.out.note(f"{limit} of {len(known):,}; --limit shows more")

    operator.run(work)


@batch.command()
@click.argument("batch_id", metavar="ID")
@operating
def show(operator: Operator, batch_id: str) -> None:
    """Show one; ID may be the beginning of an id."""

    async def work(queue: Queue) -> None:
        info = await _found(queue, batch_id)
        operator.out.pairs(info, _described(info))

    operator.run(work)


def _described(info: BatchInfo) -> list[tuple[str, str]]:
    pairs = [
        ("id", info.id),
        ("state", _state(info)),
        ("progress", f"{info.progress:g} %"),
        *((name, str(getattr(info, name))) for name in ("total", "pending", "completed")),
        *((name, str(getattr(info, name))) for name in ("failed", "skipped")),
    ]
    if info.name:
        pairs.insert(1, ("name", info.name))
    if info.error:
        pairs.append(("error", escaped(info.error)))
    return pairs


def _state(info: BatchInfo) -> str:
    if info.cancelled:
        return "cancelled" if info.finished else "being cancelled"
    return "finished" if info.finished else "under way"


@batch.command()
@click.argument("batch_id", metavar="ID")
@operating
def cancel(operator: Operator, batch_id: str) -> None:
    """Skip what waits of a batch; what runs ends. ID may be the beginning of an id."""

    async def work(queue: Queue) -> None:
        info = await _found(queue, batch_id)
        if not await queue.cancel_batch(info.id):
            raise Failure(
                f"Batch {info.id} is {_state(info)} already; there is nothing to cancel.",
                kind="NotCancellable",
            )
        after = await _found(queue, info.id)
        text = f"{info.id}: cancelled, {counted(after.skipped - info.skipped, 'job')} skipped."
        operator.out.line({"id": info.id, "cancelled": True, "skipped": after.skipped}, text)

    operator.run(work)


@batch.command()
@click.argument("batch_id", metavar="ID")
@operating
def retry(operator: Operator, batch_id: str) -> None:
    """Put the failed jobs of a batch back on their queues with fresh attempts.

    ID may be the beginning of an id. No callback is called a second time.
    """

    async def work(queue: Queue) -> None:
        info = await _found(queue, batch_id)
        retried = 0
        for id in await _failed_members(queue, info.id):
            try:
                await queue.failed.retry(id)
            except JobNotFound:  # Somebody else was quicker.
                continue
            retried += 1
        text = f"{counted(retried, 'job')} of batch {info.id} back on the queue."
        operator.out.line({"id": info.id, "retried": retried}, text)

    operator.run(work)


async def _failed_members(queue: Queue, batch_id: str) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await queue.jobs(batch=batch_id, state=State.FAILED, limit=500, cursor=cursor)
        found += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            return found


@batch.command()
@click.option(
    "--finished", type=SPAN, default="24h", show_default=True, help="How long ago they ended."
)
@click.option("--unfinished", type=SPAN, help="How long ago they were dispatched: 30d.")
@click.option("--cancelled", type=SPAN, help="The same for cancelled ones.")
@operating
def prune(
    operator: Operator, finished: float, unfinished: float | None, cancelled: float | None
) -> None:
    """Forget old batches; their jobs stay as they are. For a timer, so it never asks."""

    async def work(queue: Queue) -> None:
        removed = await queue.prune_batches(finished, unfinished=unfinished, cancelled=cancelled)
        operator.out.line({"removed": removed}, f"Removed {counted(removed, 'batch')}.")

    operator.run(work)


async def _found(queue: Queue, given: str) -> BatchInfo:
    """The batch of this id, or the only one whose id begins so."""
    exact = await queue.find_batch(given)
    if exact is not None:
        return exact
    if len(given) < SHORTEST:
        raise wrong_use(f"{given!r} is too short: give at least {SHORTEST} characters of an id")
    matching = [info for info in await queue.batches() if info.id.startswith(given)]
    if not matching:
        raise Failure(
            f"No batch has the id {given!r}, nor one that begins with it.",
            "asyncqueue batch list shows those there are.",
            kind="JobNotFound",
        )
    if len(matching) > 1:
        raise wrong_use(f"{given!r} is the beginning of {len(matching):,} ids of batches")
    return matching[0]
