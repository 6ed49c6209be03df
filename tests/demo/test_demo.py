"""The demo, end to end: its own kill, the kills of others, and its end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from asyncqueue.demo.journal import in_hand, read
from tests.demo.running import BAD_SYNTAX, LARGE, NOT_UTF8, Demo, alive, plant_tree, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from asyncqueue.demo.folder import Folder


@contextlib.contextmanager
def running(demo: Demo) -> Iterator[Demo]:
    try:
        yield demo
    finally:
        demo.stop()


def begun(folder: Folder) -> bool:
    return folder.journal.is_file() and len(read(folder.journal)) > 10


def test_it_kills_a_worker_and_balances_its_books(balanced: Demo) -> None:
    """Under a path with spaces, without a terminal or a home, whatever the environment says."""
    entries = read(balanced.folder.journal)
    dead = [entry.pid for entry in entries if entry.event == "died"]
    held = {path for pid in dead for path, _ in in_hand(entries, pid)}
    files = len(balanced.folder.manifest.paths)
    assert dead == [balanced.pids()["worker 1"]]
    assert f"files {files:>12}" in balanced.output
    assert f"completed {files - 2:>8}" in balanced.output
    assert f"reported {files:>9}" in balanced.output
    assert f"lost {0:>13}" in balanced.output
    assert "1   SyntaxError, such as " + BAD_SYNTAX in balanced.output
    assert "1   UnicodeDecodeError, such as " + NOT_UTF8 in balanced.output
    assert "The books balance." in balanced.output
    again = {entry.path for entry in entries if entry.event == "started" and entry.attempt > 1}
    assert LARGE in again
    assert again <= held | {LARGE}
    assert not any(alive(pid) for pid in balanced.all_pids())


@pytest.mark.faults
def test_kills_by_others_lose_nothing(tmp_path: Path) -> None:
    """kill −9 of the web application and of a worker, at random moments."""
    plant_tree(tmp_path / "sources", 24)
    demo = Demo(tmp_path / "sources", tmp_path / "temporary")
    with running(demo):
        pids = demo.pids()
        os.kill(pids["web application"], signal.SIGKILL)
        until(lambda: begun(demo.folder))
        wanted = random.randrange(10, 30)
        until(lambda: len(read(demo.folder.journal)) >= wanted)
        os.kill(pids["worker 2"], signal.SIGKILL)
        code = demo.ended()
    assert code == 0, demo.output
    for name in ("web application", "worker 2"):
        assert f"{name} (pid {pids[name]}) was ended from outside (signal 9)" in demo.output
    assert "The books balance." in demo.output


def test_interrupted_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C: no process, no directory."""
    plant_tree(tmp_path / "sources", 24)
    demo = Demo(tmp_path / "sources", tmp_path / "temporary")
    with running(demo):
        until(lambda: begun(demo.folder))
        demo.process.send_signal(signal.SIGINT)
        assert demo.ended() == 130
    assert not any(alive(pid) for pid in demo.all_pids())
    assert demo.directory is None
    assert "Traceback" not in demo.output


@pytest.mark.faults
def test_killed_it_takes_its_processes_along(tmp_path: Path) -> None:
    """kill −9 of the demo itself: its processes notice."""
    plant_tree(tmp_path / "sources", 24)
    demo = Demo(tmp_path / "sources", tmp_path / "temporary")
    with running(demo):
        until(lambda: begun(demo.folder))
        demo.process.kill()
        demo.process.wait()
    until(lambda: not any(alive(pid) for pid in demo.all_pids()))


@pytest.mark.parametrize("arguments", [("--limit", "0"), ("--check", "nowhere")])
def test_wrong_use_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    demo = Demo(tmp_path, tmp_path / "temporary", *arguments)
    assert demo.ended() == 2
    assert "Traceback" not in demo.output


def test_a_directory_without_files_is_refused(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "nothing", tmp_path / "temporary")
    assert demo.ended() == 2
    assert "no text or source file" in demo.output
