"""The jobs of the demo, its queue and its worker, as its other processes import them."""

from __future__ import annotations

import asyncio
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncqueue import Context, DriverUnavailable, Job, Queue, Worker, exponential
from asyncqueue.demo.folder import Folder
from asyncqueue.demo.journal import Journal
from asyncqueue.demo.lifeline import follow_parent
from asyncqueue.demo.measure import measure

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

SLOTS: Final = 4
"""Jobs at a time in each worker."""
LEASE: Final = 3.0
"""Seconds after which the jobs of a killed worker return."""
_INSERT: Final = "INSERT INTO file_index VALUES (?, ?, ?, ?, ?, ?)"
_REPORT: Final = """
INSERT INTO report
SELECT 1, ?, ?, count(*), total(bytes), total(lines), total(words) FROM file_index"""

follow_parent()
folder = Folder.from_env()
root = Path(folder.manifest.root)
journal = Journal(folder.journal)
queue = Queue(folder.url)
worker = Worker(queue, ["control", "files"], concurrency=SLOTS, lease=LEASE)


class IndexAll(Job, queue="control", max_attempts=100, backoff=0.1):
    """Dispatch one batch of all files, with a report at its end."""

    async def handle(self, ctx: Context) -> None:
        """The batch exists if this completes, and else it does not: there is never a second one."""
        async with ctx.transaction():
            jobs = [IndexFile(path) for path in mixed(folder.manifest.paths)]
            await queue.batch(*jobs).named("index").allow_failures().finally_(Report()).dispatch()


class IndexFile(
    Job, queue="files", max_attempts=100, backoff=exponential(0.1, 1, jitter=True), timeout=60
):
    """Measure one file and put the result into the index."""

    path: str

    async def handle(self, ctx: Context) -> None:
        """Measure in a thread, then store the result and the completion in one transaction."""
        with self._journaled(ctx):
            measures = await asyncio.to_thread(measure, root / self.path, folder.large_file_lock)
            async with ctx.transaction() as connection:
                # No "OR REPLACE": a second row for a path would be an error, not an update.
                connection.execute(
                    _INSERT,
                    (
                        self.path,
                        measures.sha256,
                        measures.bytes,
                        measures.lines,
                        measures.words,
                        measures.tokens,
                    ),
                )

    def should_retry(self, error: Exception) -> bool:
        """A lock that is taken will be free; a file that cannot be read now never will be."""
        return isinstance(error, (BlockingIOError, DriverUnavailable))

    @contextmanager
    def _journaled(self, ctx: Context) -> Generator[None]:
        journal.note("started", self.path, ctx.attempt)
        try:
            yield
        except asyncio.CancelledError:
            journal.note("interrupted", self.path, ctx.attempt)
            raise
        except Exception as error:
            again = self.should_retry(error)
            journal.note("again" if again else "failed", self.path, ctx.attempt)
            raise
        journal.note("done", self.path, ctx.attempt)


class Report(Job, queue="control", max_attempts=100, backoff=0.1):
    """Add up the index, once nothing of the batch is pending."""

    async def handle(self, ctx: Context) -> None:
        """Write one row; a second one would be an error."""
        batch = await ctx.batch()
        if batch is None:
            raise LookupError("a report belongs to a batch")
        async with ctx.transaction() as connection:
            connection.execute(_REPORT, (batch.completed, batch.failed))


def mixed(paths: Iterable[str]) -> list[str]:
    """In no order, but always the same: by path, the large files would come one after another."""
    return sorted(paths, key=lambda path: zlib.crc32(path.encode()))
