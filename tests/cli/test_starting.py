"""Signals that come while the worker command is still being imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from asyncqueue.cli.child import _held_back
from asyncqueue.starting import starts_worker

from .processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SIGNALLING = """\
import os, signal, sys
os.kill(os.getpid(), signal.{name})
del sys.path[0], sys.modules["msgspec"]
import msgspec
sys.modules["msgspec"] = msgspec
"""
"""Stands in for the first library that the package imports: a signal comes in the middle of it."""
SCRIPT = "import sys; from asyncqueue.__main__ import main; sys.exit(main())"


def run(folder: Path, *command: str) -> tuple[int, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stderr


@pytest.mark.case("CLI-04")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_during_the_imports_is_a_clean_end(here, name):
    (here / "msgspec.py").write_text(SIGNALLING.format(name=name))
    said = f"{name}: stopped before the worker started\n"
    assert run(here, "-m", "asyncqueue.worker") == (0, said)
    assert run(here, "-m", "asyncqueue", "worker") == (0, said)


@pytest.mark.case("CLI-04")
def test_the_installed_command_ends_as_cleanly(here):
    (here / "msgspec.py").write_text(SIGNALLING.format(name="SIGTERM"))
    (here / "asyncqueue").write_text(SCRIPT)
    assert run(here, "asyncqueue", "worker")[0] == 0
    assert run(here, "asyncqueue", "stats")[0] == -signal.SIGTERM


@pytest.mark.case("CLI-04")
def test_a_signal_to_a_process_of_a_supervisor_waits_for_its_handlers(here):
    (here / "msgspec.py").write_text(SIGNALLING.format(name="SIGTERM"))
    with _held_back():
        code, said = run(here, "-m", "asyncqueue.worker", "--child")
    assert (code, said) == (0, "SIGTERM: stopped before the worker started\n")


@pytest.mark.parametrize(
    ("argv", "whole", "answer"),
    [
        (["-m"], ["python", "-m", "asyncqueue.worker"], True),
        (["-m", "app:queue"], ["python", "-u", "-m", "asyncqueue.worker", "app:queue"], True),
        (["-m", "app:queue"], ["python", "-masyncqueue.worker", "app:queue"], True),
        (["-m", "worker"], ["python", "-m", "asyncqueue", "worker"], True),
        (["/venv/bin/asyncqueue", "worker"], ["python", "/venv/bin/asyncqueue", "worker"], True),
        (["-m", "stats"], ["python", "-m", "asyncqueue", "stats"], False),
        (["-m", "worker"], ["python", "-m", "shop", "worker"], False),
        (["-m", "asyncqueue.worker"], ["python", "-m", "shop", "asyncqueue.worker"], False),
        (["asyncqueue.worker"], ["python", "asyncqueue.worker"], False),
        ([""], ["python"], False),
        ([], [], False),
    ],
)
def test_only_the_worker_command_takes_signals_over(argv, whole, answer):
    assert starts_worker(argv, whole) is answer
