from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from asyncqueue.cli.app import asyncqueue
from asyncqueue.cli.signals import HANDLED

from .processes import Process
from .stored import Stored

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and an environment that says nothing of a queue."""
    for name in tuple(os.environ):
        if name.startswith("QUEUE_") or name in ("REDIS_URL", "DATABASE_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return tmp_path


@pytest.fixture
def run() -> Iterator[Run]:
    """Runs a command in this process, whose logging and signals it leaves as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    taken = {number: signal.getsignal(number) for number in HANDLED}

    def invoke(*args: str, input: str | None = None) -> Result:
        return CliRunner().invoke(asyncqueue, args, input=input, prog_name="asyncqueue")

    yield invoke
    root.handlers[:] = handlers
    root.setLevel(level)
    for number, handler in taken.items():
        signal.signal(number, handler)


@pytest.fixture
def stored(here: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """A queue in an SQLite file, which is the environment's."""
    monkeypatch.setenv("QUEUE_URL", "sqlite:///queue.db")
    return Stored(f"sqlite:///{here}/queue.db")


@pytest.fixture
def start(here: Path) -> Iterator[Callable[..., Process]]:
    """Starts worker commands, and ends what a test leaves behind."""
    started: list[Process] = []

    def begin(*args: str, module: str = "asyncqueue.worker", **environment: str) -> Process:
        process = Process(here, args, environment, module)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.end()


@pytest.fixture
def dispatch(stored: Stored) -> Callable[..., list[str]]:
    """Stores jobs by kind and fields, as an application would."""
    return lambda *jobs: asyncio.run(stored.dispatch(*jobs))
