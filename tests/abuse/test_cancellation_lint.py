"""What swallows a cancellation on Python 3.11 stands nowhere in the library."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Final

import pytest

import asyncqueue
from asyncqueue import Context, Job, JobNotFound

LIBRARY: Final = Path(asyncqueue.__file__).parent
CASES = {
    "asyncio.wait_for(x, 1)": True,
    "wait_for(x, 1)": True,
    "asyncio.timeout(0)": True,
    "timeout(0.0)": True,
    "anyio.fail_after(0)": True,
    "asyncio.timeout(seconds)": False,
    "self.wait_for_it()": False,
}


def swallows(node: ast.AST) -> bool:
    """``wait_for`` may return a result although it was cancelled, ``timeout(0)`` eats a cancel."""
    if not isinstance(node, ast.Call):
        return False
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name == "wait_for":
        owner = getattr(getattr(function, "value", None), "id", "asyncio")
        return owner == "asyncio"
    if name in {"timeout", "timeout_at", "fail_after", "move_on_after"} and node.args:
        first = node.args[0]
        return isinstance(first, ast.Constant) and first.value == 0
    return False


@pytest.mark.parametrize(("source", "expected"), CASES.items())
def test_the_rule(source: str, expected: bool):
    assert any(swallows(node) for node in ast.walk(ast.parse(source))) is expected


def test_the_library():
    found = [
        f"{path.relative_to(LIBRARY)}:{node.lineno}"
        for path in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if swallows(node)
    ]
    # Imported under the same name: what runs after a commit.
    assert [one for one in found if "queue/producing.py" not in one] == []


class CancelledBeforehand(Job):
    async def handle(self, ctx: Context) -> None:
        await asyncio.sleep(0)


async def test_cancelling_an_unknown_id_leaves_nothing_behind(make_queue, make_worker):
    """X5: the next job with that id runs."""
    queue = make_queue()
    with pytest.raises(JobNotFound):
        await queue.cancel("later")
    async with make_worker(on=queue):
        handle = await queue.dispatch(CancelledBeforehand(), id="later")
        await handle.result(timeout=10)
        assert (await handle.status()).state == "completed"
        assert not await queue.cancel("later")
        assert (await handle.status()).state == "completed"
