"""The books of a demo: what was posted against what came of it, from three independent sources.

The index (a table that the handlers fill), the journal (a file to which they append) and the
queue itself must tell the same story.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue import Queue
from asyncqueue.demo.journal import Entry, in_hand, read

if TYPE_CHECKING:
    from collections.abc import Collection

    from asyncqueue.demo.folder import Folder

PAGE: Final = 500
_REPORTS: Final = "SELECT completed, failed, files, bytes, lines, words FROM report"


class QueueView(msgspec.Struct, frozen=True):
    """What the queue says."""

    completed: int
    unfinished: int
    errors: dict[str, str]
    """Path to error, of the failed store."""


class Reported(msgspec.Struct, frozen=True):
    """What the last job of the batch wrote down."""

    completed: int
    failed: int
    files: int
    bytes: float
    lines: float
    words: float


class Books(msgspec.Struct, frozen=True):
    """The facts of one demo, and what is wrong with them: nothing, it is to be hoped."""

    posted: frozenset[str]
    indexed: frozenset[str]
    bytes: int
    reports: list[Reported]
    """By the last job of the batch; there should be one."""
    queue: QueueView
    retries: int
    deaths: dict[str, int]
    """Processes that somebody ended, and how many jobs each had in hand."""
    held: frozenset[str]
    """The files of those jobs."""
    twice: frozenset[str]
    """Files whose handler began once more without having given up the run before."""
    problems: list[str]

    @property
    def balanced(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def lost(self) -> frozenset[str]:
        """Files that were posted and are neither in the index nor in the failed store."""
        return self.posted - self.indexed - self.queue.errors.keys()


async def draw_up(folder: Folder) -> Books:
    """The books of a demo that has ended."""
    queue = await _ask_queue(folder)
    indexed, total, reports = _look_into_index(folder)
    entries = read(folder.journal)
    posted = frozenset(folder.manifest.paths)
    again = Counter(entry.path for entry in entries if entry.event in {"again", "interrupted"})
    hands = {entry: in_hand(entries, entry.pid) for entry in entries if entry.event == "died"}
    cut_short = Counter(path for runs in hands.values() for path, _ in runs)
    surplus = _surplus(entries, again)
    books = Books(
        posted,
        indexed,
        total,
        reports,
        queue,
        sum(entry.event == "again" for entry in entries),
        {f"{death.path} (pid {death.pid})": len(runs) for death, runs in hands.items()},
        frozenset(cut_short),
        frozenset(surplus),
        [],
    )
    books.problems.extend(_problems(books, surplus - cut_short))
    return books


def _surplus(entries: list[Entry], again: Counter[str]) -> Counter[str]:
    """How often each file was begun beyond once and once more for each run that was given up."""
    started = Counter(entry.path for entry in entries if entry.event == "started")
    return started - again - Counter(dict.fromkeys(started, 1))


def _problems(books: Books, unexplained: Counter[str]) -> list[str]:
    errors = books.queue.errors
    checks = [
        ("lost", books.lost),
        ("in the index though nobody posted them", books.indexed - books.posted),
        ("in the failed store though nobody posted them", errors.keys() - books.posted),
        ("both in the index and in the failed store", books.indexed & errors.keys()),
        ("failed without an error", {path for path, error in errors.items() if not error}),
        ("run twice though no killed worker had them in hand", unexplained.keys()),
    ]
    problems = [_problem(text, paths) for text, paths in checks if paths]
    if books.queue.completed != len(books.indexed):
        problems.append(
            f"the queue counts {books.queue.completed} completed jobs and the index has "
            f"{len(books.indexed)} rows"
        )
    if [(one.completed, one.files, one.failed) for one in books.reports] != [
        (len(books.indexed), len(books.indexed), len(errors))
    ]:
        problems.append(f"the report of the batch should be one, and right: {books.reports}")
    if books.queue.unfinished:
        problems.append(f"{books.queue.unfinished} jobs are not finished")
    return problems


def _problem(text: str, paths: Collection[str]) -> str:
    return f"{len(paths)} files are {text}, such as {min(paths)}"


def _look_into_index(folder: Folder) -> tuple[frozenset[str], int, list[Reported]]:
    with closing(folder.connect()) as connection:
        rows = connection.execute("SELECT path, bytes FROM file_index").fetchall()
        reports = connection.execute(_REPORTS).fetchall()
    indexed = frozenset(path for path, _ in rows)
    return indexed, sum(size for _, size in rows), [Reported(*row) for row in reports]


async def _ask_queue(folder: Folder) -> QueueView:
    async with Queue(folder.url) as queue:
        stats = await queue.stats()
        errors: dict[str, str] = {}
        while True:
            page = await queue.failed.list(queue="files", limit=PAGE, offset=len(errors))
            errors.update((job.payload["path"], job.error) for job in page.items)
            if not page.items or len(errors) >= page.total:
                break
        return QueueView(
            stats["files"].completed if "files" in stats else 0,
            sum(row.pending + row.delayed + row.processing for row in stats.values()),
            errors,
        )
