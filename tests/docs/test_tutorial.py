"""Does what the tutorial says, in an empty folder, and compares what comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from .conftest import environment
from .pages import DOCS, EXAMPLES, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

TUTORIAL = DOCS / "tutorial.md"
ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
VARIABLE = [
    (ID, "ID"),
    (r"\d\d:\d\d:\d\d\.\d{3}", "TIME"),
    (r"asyncqueue \S+ worker, pid \d+, Python \S+", "WORKER"),
    (r"(?<=in )\d+ ms|[\d.]+ s(?= ago)", "SPAN"),
    (r"(?<=0  )[\d.]+ m?s(?=  -$)", "AGE"),
    (r"sqlite:////\S*/queue.db|\"/\S*/app.py\"", "PATH"),
    (r"(?<=loop         )\w+", "LOOP"),
    (r"\s{2,}", "  "),
]
"""What differs from run to run, in this order."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in (EXAMPLES / "tutorial").glob("*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


def command(line: str) -> list[str]:
    words = line.split()
    if words[0] == "asyncqueue":
        return [sys.executable, "-m", *words]
    assert words[0] == "python"
    return [sys.executable, *words[1:]]


def start(line: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(line),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(line: str, folder: Path) -> str:
    process = start(line, folder)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def alike(text: str) -> str:
    for pattern, word in VARIABLE:
        text = re.sub(pattern, word, text)
    return text.strip()


def steps(block: Block) -> list[tuple[str, list[str]]]:
    """The commands of a block, and the lines shown below each."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def consoles(*sources: str) -> list[Block]:
    return [b for b in blocks("console") if b.page == TUTORIAL and b.source in sources]


def assert_shows(output: str, expected: list[str]) -> None:
    """The lines in their order; others may stand between them."""
    printed = [alike(line) for line in output.splitlines()]
    rest = iter(printed)
    for line in expected:
        assert any(alike(line) == other for other in rest), f"{line!r} is not in\n{output}"


@pytest.mark.slow
def test_the_tutorial_up_to_results(folder: Path):
    for block in consoles(""):
        for line, expected in steps(block):
            assert_shows(run(line, folder), expected)


@pytest.mark.slow
def test_the_tutorial_from_results_on(folder: Path):
    (worker_line, _), *_ = (step for block in consoles("worker") for step in steps(block))
    (first,) = consoles("producer")
    (second,) = consoles("producer-again")
    worker = start(worker_line, folder)
    try:
        for line, expected in steps(first):
            assert_shows(run(line, folder), expected)
        ((line, expected),) = steps(second)
        producer = start(line, folder)
        wait_for_progress(folder)
        worker.kill()
        worker.communicate()
        worker = start(worker_line, folder)
        output, _ = producer.communicate(timeout=60)
        assert_shows(output, expected)
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    assert worker.returncode == 0


def wait_for_progress(folder: Path) -> None:
    for _ in range(60):
        if "Count" in run("asyncqueue jobs --state processing --app app:queue", folder):
            return
        time.sleep(0.1)
    pytest.fail("the job was never started")
