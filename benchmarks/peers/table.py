"""The table: a row per peer, medians of its samples."""

from __future__ import annotations

import os
import platform
import statistics
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.peers.catalogue import Peer

NOT_INSTALLED = "not installed"
DISTURBED = 0.3
"""Cores of other work beside a measurement, above which that is said."""


class Column(NamedTuple):
    """A column of figures: its title, the values that stand in it, and what they are."""

    title: str
    values: tuple[str, ...]
    meaning: str
    digits: int = 0


COLUMNS = (
    Column("no-op/s", ("noop",), "no-op jobs, first start to all settled, one worker process"),
    Column("5 ms/s", ("five_ms",), "the same with handlers of 5 ms, 100 at once: at most 20,000"),
    Column("two workers/s", ("two_workers",), "no-op jobs, two worker processes"),
    Column("1 ms of CPU/s", ("computing", "computing_two"), "such jobs, one worker process / two"),
    Column("one by one/s", ("sequential",), "awaited dispatches, one after another"),
    Column("100 callers/s", ("concurrent",), "awaited dispatches of 100 concurrent callers"),
    Column("bulk/s", ("bulk",), "jobs stored by bulk calls of 1,000, where the peer has them"),
    Column("start ms", ("p50", "p99"), "dispatch to start on an idle worker, p50 / p99", 1),
    Column("MiB", ("memory",), "peak resident memory of the worker, all its processes"),
    Column("server µs", ("server_us",), "CPU of the server per job drained"),
    Column("bytes", ("bytes",), "of the store per waiting job"),
)


class Row(NamedTuple):
    """A peer, the samples of each value that were taken, and what went wrong."""

    peer: Peer
    samples: Mapping[str, Sequence[float]]
    problems: Sequence[str]


def machine() -> str:
    """What the figures were taken on."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if "model name" in line]
        model = lines[0].partition(":")[2].strip() if lines else model
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    cores = f"{os.cpu_count()} cores{f' ({model})' if model else ''}"
    loop = min(timeit.repeat("pass", number=1_000_000, repeat=5)) * 1000
    python = f"Python {platform.python_version()} (a million passes of a loop: {loop:.0f} ms)"
    return f"{cores}, {system}, {python}"


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the table, what its columns mean, and what went wrong."""
    titles = ["peer", "guarantee", *(column.title for column in COLUMNS), "settings"]
    lines = [titles, *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(titles))]
    figures = range(2, 2 + len(COLUMNS))
    for number, line in enumerate(lines):
        padded = [
            cell.rjust(width) if place in figures else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield _line(padded)
        if number == 0:
            rules = ["-" * width for width in widths]
            yield _line([f"{r[1:]}:" if n in figures else r for n, r in enumerate(rules)])
    yield ""
    yield "\n".join(f"- {column.title}: {column.meaning}" for column in COLUMNS)
    for row in rows:
        for problem in _problems(row):
            yield f"- {row.peer.name}: {problem}"


def _cells(row: Row) -> list[str]:
    peer = row.peer
    name = f"{peer.name} {peer.version}{' (node)' if peer.npm else ''}"
    widths = peer.concurrency
    settings = f"concurrency {widths['noop']:,} (5 ms: {widths['five_ms']}); {peer.settings}"
    figures = [_cell(column, row) for column in COLUMNS]
    if any(problem.startswith(NOT_INSTALLED) for problem in row.problems):
        figures[0] = NOT_INSTALLED
    return [name, peer.guarantee, *figures, settings]


def _cell(column: Column, row: Row) -> str:
    medians = [statistics.median(row.samples[key]) for key in column.values if row.samples.get(key)]
    return " / ".join(f"{median:,.{column.digits}f}" for median in medians) or "−"


def _problems(row: Row) -> Iterator[str]:
    yield from dict.fromkeys(row.problems)
    if extra := sum(row.samples.get("extra", ())):
        yield f"ran {extra:,.0f} jobs more than there were"
    foreign = row.samples.get("foreign")
    if foreign and statistics.median(foreign) > DISTURBED:
        yield f"disturbed: other work took {statistics.median(foreign):.1f} cores meanwhile"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
