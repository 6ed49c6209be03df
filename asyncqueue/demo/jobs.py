"""The job of the demo, its queue and its worker, as the web process and the workers import them."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asyncqueue import Context, DriverUnavailable, Job, Queue, Worker, exponential
from asyncqueue.demo.folder import Folder
from asyncqueue.demo.journal import Journal
from asyncqueue.demo.lifeline import follow_parent
from asyncqueue.demo.measure import measure

if TYPE_CHECKING:
    from collections.abc import Generator

SLOTS: Final = 4
"""Jobs at a time in each worker."""
LEASE: Final = 3.0
"""Seconds after which the jobs of a killed worker return."""
_INSERT: Final = "INSERT INTO file_index VALUES (?, ?, ?, ?, ?, ?)"

follow_parent()
folder = Folder.from_env()
root = Path(folder.manifest.root)
journal = Journal(folder.journal)
queue = Queue(folder.url)
worker = Worker(queue, ["files"], concurrency=SLOTS, lease=LEASE)


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
