"""The plugin that hides secrets in other tests finds them where they show."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asyncqueue import Context, Job, Registry, codec

from .. import canary

ROOT = Path(__file__).parents[2]


class CanaryPluginJob(Job):
    text: str

    async def handle(self, ctx: Context) -> None: ...


LEAKS = {
    "log": "logging.getLogger('x').warning('stored %r', payload)",
    "error": "raise_and_catch(DriverError(f'cannot store {payload!r}'))",
    "cause": "raise_from(ValueError(repr(payload)), DriverError('cannot store it'))",
    "output": "print(payload)",
    "environment": "print(dict(os.environ))",
    "nothing": "pass",
}
TEST = """
import logging, os
from asyncqueue import Job, Queue
from asyncqueue.errors import DriverError
from asyncqueue.record import Filter
class CanaryPluginJob(Job):
    def handle(self, ctx): ...
def raise_and_catch(error):
    try:
        raise error
    except DriverError:
        pass
def raise_from(cause, error):
    try:
        raise cause
    except ValueError:
        raise_and_catch(type(error)(*error.args))
async def test_it():
    async with Queue("memory://") as queue:
        await queue.dispatch(CanaryPluginJob())
        payload = (await queue.driver.find(Filter())).items[0].payload
        {leak}
"""


def run(folder: Path, leak: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_one.py").write_text(TEST.replace("{leak}", leak), "utf-8")
    options = ("-q", "-p", "tests.canary", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(folder), str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.faults
@pytest.mark.parametrize("leak", LEAKS)
def test_it_finds_what_shows(leak: str, tmp_path: Path):
    done = run(tmp_path, LEAKS[leak])
    assert done.returncode == (leak != "nothing"), done.stdout + done.stderr
    assert ("A secret shows" in done.stdout) == (leak != "nothing"), done.stdout


def test_what_it_hides():
    """A job with a secret is the same job to all who may look into it."""
    payload = canary.with_secret(codec.encode(CanaryPluginJob("x"), 1_000, timeout=5.0))
    assert canary.IN_PAYLOAD.encode() in payload
    envelope = codec.open_envelope("CanaryPluginJob", payload)
    assert envelope.timeout == 5.0
    registry = Registry()
    registry.register("CanaryPluginJob", CanaryPluginJob)
    assert codec.decode("CanaryPluginJob", envelope, registry) == CanaryPluginJob("x")
    assert canary.with_password("redis://127.0.0.1:1/0").endswith("@127.0.0.1:1/0")
    assert canary.IN_ADDRESS in canary.with_password("postgresql://postgres@127.0.0.1:1/x")
