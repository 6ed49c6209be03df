"""What the demo says at its end."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from asyncqueue.demo.journal import counted_jobs
from asyncqueue.demo.measure import LARGE

if TYPE_CHECKING:
    from asyncqueue.demo.books import Books

_LABEL: Final = 11
_NUMBER: Final = 7
_LONGEST: Final = 100


def of_books(books: Books, seconds: float | None = None) -> str:
    """The summary, one fact a line. ``seconds``: how long it took, where that is known."""
    lines = [
        _fact("files", len(books.posted), _volume(books, seconds)),
        *_reported(books),
        _fact("completed", books.queue.completed, f"{len(books.indexed):,} rows in the index"),
        _fact("retried", books.retries, _RETRIED),
        _fact("failed", len(books.queue.errors), _FAILED if books.queue.errors else ""),
        *_grouped(books.queue.errors),
        _fact("killed", len(books.deaths), _killed(books)),
        _fact("lost", len(books.lost), ""),
        _fact("run twice", len(books.twice), _twice(books)),
        *(f"  PROBLEM: {problem}" for problem in books.problems),
        "  The books balance." if books.balanced else "  The books do NOT balance.",
    ]
    return "\n".join(lines)


def _reported(books: Books) -> list[str]:
    return [
        _fact(
            "reported",
            report.completed + report.failed,
            f"by the last job of the batch: {report.lines:,.0f} lines, {report.words:,.0f} words",
        )
        for report in books.reports
    ]


_RETRIED: Final = (
    f"as files over {LARGE // 1000} kB are compiled one at a time: BlockingIOError for the others"
)
_FAILED: Final = "kept in the failed store, with their errors:"


def _fact(label: str, number: int, remark: str) -> str:
    return f"  {label:<{_LABEL}}{number:>{_NUMBER},}   {remark}".rstrip()


def _volume(books: Books, seconds: float | None) -> str:
    volume = f"{books.bytes / 1e6:,.1f} MB indexed"
    if seconds is None:
        return volume
    return f"{volume} in {seconds:.1f} s: {len(books.posted) / seconds:,.0f} jobs/s"


def _killed(books: Books) -> str:
    indent = " " * (_LABEL + _NUMBER + 5)
    return f"\n{indent}".join(
        f"{who} with {counted_jobs(held)} in hand" for who, held in books.deaths.items()
    )


def _twice(books: Books) -> str:
    if not books.twice:
        return ""
    if books.twice <= books.held:
        return "all of them in hand at a kill; each is in the index once"
    return f"{len(books.twice - books.held)} of them without a kill to explain it"


def _grouped(errors: dict[str, str]) -> list[str]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path, error in sorted(errors.items()):
        groups[error.partition(":")[0]].append(path)
    indent = " " * (_LABEL + 2)
    lines: list[str] = []
    for kind, paths in sorted(groups.items(), key=lambda group: -len(group[1])):
        lines.append(f"{indent}{len(paths):>{_NUMBER},}   {kind}, such as {paths[0]}:")
        lines.append(f"{indent}{'':{_NUMBER}}     {_shortened(errors[paths[0]])}")
    return lines


def _shortened(error: str) -> str:
    text = " ".join(error.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
