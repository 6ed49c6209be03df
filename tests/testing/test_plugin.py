from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import asyncqueue
from asyncqueue import testing

pytest_plugins = ["pytester"]

CODE = """
import asyncio

from asyncqueue import Context, Job, Queue, Worker, default_queue, dispatch, set_default
from asyncqueue.testing import FakeQueue, drain

done = []


class Greet(Job):
    name: str

    async def handle(self, ctx: Context) -> None:
        done.append(self.name)


async def sign_up(name):
    await dispatch(Greet(name), delay=60 if name == "later" else None)


before = Queue("memory://")
set_default(before)
"""
FAKE = """
def test_plain(asyncqueue_fake):
    assert default_queue() is asyncqueue_fake
    asyncio.run(sign_up("ann"))
    asyncio.run(sign_up("bob"))
    asyncqueue_fake.assert_pushed(Greet, times=2)
    assert done == []


def test_restored():
    assert default_queue() is before


def test_each_test_has_its_own(asyncqueue_fake):
    asyncqueue_fake.assert_nothing_pushed()
    set_default(Queue("memory://"))


def test_restored_whatever_the_test_did():
    assert default_queue() is before


@pytest.mark.asyncio
async def test_async(asyncqueue_fake):
    await sign_up("ann")
    asyncqueue_fake.assert_pushed("Greet", where=lambda job: job.name == "ann")


@pytest.mark.asyncio
async def test_clock(asyncqueue_fake, asyncqueue_clock):
    await sign_up("later")
    assert (await drain(asyncqueue_fake)).completed == 0
    asyncqueue_clock.advance(60)
    assert (await drain(asyncqueue_fake)).completed == 1
"""
MEMORY = """
@pytest.mark.asyncio
async def test_drained(asyncqueue_memory):
    done.clear()
    await sign_up("ann")
    assert await asyncqueue_memory.size("default") == 1
    assert (await drain(asyncqueue_memory)).completed == 1
    assert done == ["ann"]


@pytest.mark.asyncio
async def test_worked_by_a_worker_in_real_time(asyncqueue_memory):
    async with Worker(asyncqueue_memory):
        handle = await dispatch(Greet("bob"), delay=0.01)
        await handle.result(5)


@pytest.mark.asyncio
async def test_in_time_moved_by_hand(asyncqueue_clock, asyncqueue_memory):
    await sign_up("later")
    assert (await drain(asyncqueue_memory)).completed == 0
    asyncqueue_clock.advance(60)
    assert (await drain(asyncqueue_memory)).completed == 1


def test_plain(asyncqueue_memory):
    assert default_queue() is asyncqueue_memory
    asyncio.run(sign_up("ann"))
    assert asyncio.run(drain(asyncqueue_memory)).completed == 1


def test_clock_starts_at_the_present(asyncqueue_clock):
    now = datetime.now(UTC)
    assert now - timedelta(minutes=1) < asyncqueue_clock.now() <= now


def test_restored():
    assert default_queue() is before
"""
FAILING = """
def test_fails(asyncqueue_fake):
    asyncio.run(sign_up("ann"))
    asyncqueue_fake.assert_not_pushed(Greet)


def test_restored():
    assert default_queue() is before
"""
HEADER = "from datetime import UTC, datetime, timedelta\nimport pytest\n"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(asyncqueue.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(HEADER + CODE + tests)
    return pytester.runpytest_subprocess("-p", "asyncqueue.testing.plugin", *options)


@pytest.mark.case("TST-02", "TST-03")
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_fake_is_the_default_queue_of_the_test(pytester: pytest.Pytester, mode: str) -> None:
    run(pytester, FAKE, "-p", "pytest_asyncio.plugin", "--asyncio-mode", mode).assert_outcomes(
        passed=6
    )


@pytest.mark.case("TST-01", "TST-02", "TST-09")
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_the_memory_queue_is_the_default_queue_of_the_test(
    pytester: pytest.Pytester, mode: str
) -> None:
    run(pytester, MEMORY, "-p", "pytest_asyncio.plugin", "--asyncio-mode", mode).assert_outcomes(
        passed=6
    )


def test_it_needs_no_plugin_for_asyncio(pytester: pytest.Pytester) -> None:
    plain = FAKE[: FAKE.index("@pytest.mark")]
    run(pytester, plain).assert_outcomes(passed=4)


@pytest.mark.case("TST-03")
def test_a_failure_shows_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAILING)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*asyncqueue_fake.assert_not_pushed(Greet)",
            "E*AssertionError: Greet should not have been pushed, but was pushed once.",
            "E*Pushed (1):",
            "E*Greet(name='ann') on \"default\"",
        ]
    )
    result.stdout.no_fnmatch_line("*fakes.py*raise*")


def test_the_fixtures_are_listed_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("-p", "asyncqueue.testing.plugin", "--fixtures")
    result.stdout.fnmatch_lines_random(
        ["asyncqueue_clock *", "asyncqueue_fake *", "asyncqueue_memory *", "*runs nothing*"]
    )


def test_a_run_without_them_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_imported():
            assert [name for name in sys.modules if name.partition(".")[0] == "asyncqueue"] == []
        """
    )
    pytester.runpytest_subprocess("-p", "_asyncqueue_pytest").assert_outcomes(passed=1)


def test_the_testing_package_imports_nothing_for_tests() -> None:
    code = (
        "import sys, asyncqueue.testing as t; t.FakeQueue, t.drain, t.pop, t.run_job, t.Clock; "
        "print([name for name in ('pytest', 'hypothesis') if name in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert output.strip() == "[]"


def test_each_exported_name_is_there() -> None:
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = testing.nothing_of_that_name
