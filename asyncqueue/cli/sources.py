"""Notices that a source file of the application changed."""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

POLL: Final = 0.5
"""Seconds between two looks where watchfiles is not installed."""
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
log = logging.getLogger("asyncqueue.reload")

Stamps = dict[str, int]


def roots_of(modules: Iterable[str]) -> list[Path]:
    """Where the source is: the current directory, and where these modules come from."""
    roots = [Path.cwd()]
    for module in modules:
        # Looking for the outermost package only imports nothing.
        name = module.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        for place in spec.submodule_search_locations or [spec.origin] if spec else []:
            path = Path(place or ".").resolve()
            root = path if path.is_dir() else path.parent
            if not any(root.is_relative_to(known) for known in roots):
                roots.append(root)
    return roots


def watch(roots: list[Path], changed: Callable[[list[str]], None]) -> None:
    """Call ``changed`` with the names of changed files, from a thread of its own."""
    try:
        import watchfiles  # noqa: PLC0415 - optional
    except ImportError:
        log.warning(
            "watchfiles is not installed: looking at the files every %g s "
            '(pip install "asyncqueue[reload]")',
            POLL,
        )
        target: Callable[[], None] = lambda: _poll(roots, changed)  # noqa: E731
    else:

        def target() -> None:
            for changes in watchfiles.watch(
                *roots, watch_filter=watchfiles.PythonFilter(), debounce=200, raise_interrupt=False
            ):
                changed(sorted(path for _, path in changes))

    threading.Thread(target=target, name="asyncqueue-reload", daemon=True).start()


def _poll(roots: list[Path], changed: Callable[[list[str]], None]) -> None:
    pause = threading.Event()
    before = stamps(roots)
    while not pause.wait(POLL):
        now = stamps(roots)
        different = differences(before, now)
        before = now
        if different:
            changed(different)


def stamps(roots: Iterable[Path]) -> Stamps:
    """When each source file was last modified."""
    return {path: modified for root in roots for path, modified in _source_files(root)}


def differences(before: Stamps, now: Stamps) -> list[str]:
    """The files that appeared, went or changed."""
    return sorted({path for path, _ in before.items() ^ now.items()})


def _source_files(folder: str | Path) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        # It went while it was looked at; or it cannot be read, so nothing of it was imported.
        log.debug("Cannot look into %s: %s", folder, error)
        return
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _source_files(entry.path)
        elif entry.name.endswith(".py"):
            yield entry.path, _modified(entry)


def _modified(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return 0  # It went meanwhile: as good a stamp as any to differ from.
