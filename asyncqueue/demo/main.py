"""The demo from its first line to its exit code."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asyncqueue.demo import broken, summary
from asyncqueue.demo.bar import Bar
from asyncqueue.demo.books import draw_up
from asyncqueue.demo.client import Client
from asyncqueue.demo.crew import ENDINGS, Crew, DemoFailedError
from asyncqueue.demo.files import installed_packages, select, standard_library
from asyncqueue.demo.folder import Folder, Manifest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from asyncqueue.demo.files import Selection

WORKERS: Final = 2
LIMIT: Final = 2500
KILL_AT: Final = 0.4
"""The share of jobs that are over when the demo kills a worker."""
STALLED: Final = 60.0
"""Seconds without any progress after which the demo gives up."""
TICK: Final = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Answers 0 if the books balance, 1 if they do not or the demo failed, 2 if it cannot start,
    130 after Ctrl-C.
    """
    options = _parser().parse_args(argv)
    _show_any_name()
    try:
        with _interruptible():
            return _check(options.check) if options.check else _demonstrate(options)
    except DemoFailedError as error:
        click.echo(f"\nThe demo failed. {error}", err=True)
        return 1
    except KeyboardInterrupt:
        click.echo("\nInterrupted; all processes of the demo have ended.", err=True)
        return 130
    except BrokenPipeError:
        # Nobody reads any more; the interpreter must not stumble over it once again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="asyncqueue demo",
        description="Index the source files of Python's standard library with a web application "
        "and two workers over one SQLite file; one worker is killed on the way.",
    )
    parser.add_argument("--path", type=Path, help="another directory to index")
    parser.add_argument(
        "--limit", type=_positive, default=LIMIT, help="most files (default: %(default)s)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the directory with the queue")
    parser.add_argument(
        "--check", type=Path, metavar="DIR", help="only balance the books of a kept directory"
    )
    return parser


def _show_any_name() -> None:
    # A file name, or our own bar, may have characters that this terminal has not.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} files are too few, give 1 at least")
    return number


def _check(directory: Path) -> int:
    folder = Folder(directory)
    if not folder.database.is_file():
        click.echo(f"{directory} is not the directory of a demo; --keep keeps it.", err=True)
        return 2
    books = asyncio.run(draw_up(folder))
    click.echo(summary.of_books(books))
    return 0 if books.balanced else 1


def _demonstrate(options: argparse.Namespace) -> int:
    missing = [name for name in ("fastapi", "uvicorn") if not importlib.util.find_spec(name)]
    if missing:
        click.echo(
            f"The demo needs {' and '.join(missing)}: pip install 'asyncqueue[demo]'",
            err=True,
        )
        return 2
    selection = _select(options)
    if not selection.manifest.paths:
        click.echo(f"There is no text or source file below {selection.manifest.root}.", err=True)
        return 2
    folder = Folder(Path(tempfile.mkdtemp(prefix="asyncqueue-demo-")))
    try:
        _introduce(selection, "" if options.path else ", Python's own standard library")
        manifest = selection.manifest
        if not options.path and not selection.has_broken_data:
            manifest = _with_broken_files(manifest, folder)
        _announce()
        return _perform(folder, manifest)
    finally:
        _leave(folder, keep=options.keep)


def _select(options: argparse.Namespace) -> Selection:
    if options.path:
        return select(options.path, options.limit)
    return select(standard_library(), options.limit, installed_packages())


def _with_broken_files(manifest: Manifest, folder: Folder) -> Manifest:
    click.echo(
        f"This Python comes without its test data, of which some can never be indexed; "
        f"{broken.COUNT} more files, broken ones that\nthe demo writes to {folder.broken}, "
        "stand in for it."
    )
    return Manifest(manifest.root, manifest.paths + broken.write(folder.broken))


def _introduce(selection: Selection, remark: str) -> None:
    paths = selection.manifest.paths
    click.echo(
        f"Indexing {len(paths):,} text and source files ({selection.total_bytes / 1e6:,.1f} MB) of "
        f"{selection.manifest.root}{remark}: one job each."
    )
    if selection.directories[1:]:
        click.echo(
            "It is a small one here, so some of them belong to installed packages:\n"
            f"{' and '.join(selection.directories[1:])}."
        )
    if selection.beyond_limit:
        click.echo(f"Left out: {selection.beyond_limit:,} files behind {paths[-1]} (see --limit).")
    if selection.too_large:
        click.echo(f"Left out: {selection.too_large:,} files over 2 MB.")
    if selection.unnameable:
        click.echo(f"Left out: {selection.unnameable:,} files whose names are not UTF-8.")


def _announce() -> None:
    click.echo(
        f"A web application takes the order over HTTP, {WORKERS} workers run the batch, and a last "
        f"job reports; these {WORKERS + 1}\nprocesses share one SQLite file. "
        "In the middle one worker is killed with SIGKILL.\n"
    )


def _perform(folder: Folder, manifest: Manifest) -> int:
    folder.prepare(manifest)
    paths = manifest.paths
    bar = Bar(len(paths))
    began = time.monotonic()
    with Crew(folder, WORKERS, bar.say) as crew:
        bar.say(f"processes: {crew.roll()}")
        client = Client(crew.port, crew.watch)
        client.start()
        bar.say(f"POST http://127.0.0.1:{crew.port}/index: one batch of {len(paths):,} jobs")
        _follow(crew, client, bar, len(paths))
        seconds = time.monotonic() - began
    books = asyncio.run(draw_up(folder))
    click.echo(f"\n{summary.of_books(books, seconds)}")
    return 0 if books.balanced else 1


def _follow(crew: Crew, client: Client, bar: Bar, total: int) -> None:
    """Show the progress until all jobs are over, and kill a worker in the middle."""
    killed = False
    ended, moved_at = -1, time.monotonic()
    while True:
        crew.watch()
        progress = client.progress()
        bar.show(progress)
        if progress.over:
            break
        if not killed and progress.ended >= KILL_AT * total:
            crew.kill_worker()
            killed = True
        if progress.ended != ended:
            ended, moved_at = progress.ended, time.monotonic()
        elif time.monotonic() - moved_at > STALLED:
            raise DemoFailedError(f"Nothing has moved for {STALLED:g} s: {progress}")
        time.sleep(TICK)
    bar.end()
    if not killed:
        bar.say("all was over before a worker could be killed")


def _leave(folder: Folder, *, keep: bool) -> None:
    if not keep:
        shutil.rmtree(folder.directory, ignore_errors=True)
        click.echo("\n  --keep keeps the queue, to look further with `asyncqueue stats --url …`.")
        return
    click.echo(
        f"\n  Look further:\n"
        f"    asyncqueue stats --url '{folder.url}'\n"
        f"    asyncqueue failed list --url '{folder.url}'\n"
        f"    asyncqueue demo --check '{folder.directory}'"
    )


@contextmanager
def _interruptible() -> Generator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does, so that it leaves no process behind.

    Ctrl-C does so even where it would be ignored, as in the background of a script.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
