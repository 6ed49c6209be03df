"""What middleware can tell of a job, and what a handler leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest

from asyncqueue import Context, Job, JobFailed, JobProcessed, JobProcessing, JobRetrying


class NotFoundError(Exception):
    pass


log = logging.getLogger("tests.surroundings")


async def logged(ctx, call_next):
    """What an application writes for its logs."""
    began = time.monotonic()
    log.info("start %s", ctx.job_name)
    try:
        result = await call_next()
    except Exception as error:
        log.info("failed %s in %.1f s: %r", ctx.job_name, time.monotonic() - began, error)
        raise
    log.info("completed %s in %.1f s", ctx.job_name, time.monotonic() - began)
    return result


@pytest.mark.case("MID-01", "MID-03", "MID-07")
async def test_middleware_tells_start_end_and_duration(queue, make_worker, events, caplog):
    class Succeeds(Job):
        async def handle(self, ctx: Context) -> None: ...

    class Fails(Job, max_attempts=3, backoff=0):
        async def handle(self, ctx: Context) -> None:
            raise NotFoundError("page 7")

    caplog.set_level(logging.INFO, log.name)
    await queue.dispatch(Succeeds())
    await queue.dispatch(Fails())
    async with make_worker(middleware=[logged], concurrency=1):
        await events.wait_for(JobProcessed)
        await events.wait_for(JobFailed)
    said = [record.getMessage() for record in caplog.records if record.name == log.name]
    assert said[:2] == ["start Succeeds", "completed Succeeds in 0.0 s"]
    failed = "failed Fails in 0.0 s: NotFoundError('page 7')"
    assert said[2:] == ["start Fails", failed] * 3


@pytest.mark.case("MID-02")
async def test_retries_are_decided_by_the_error_that_middleware_passed_on(
    queue, make_worker, events
):
    asked = []

    class Picky(Job, max_attempts=5, backoff=0):
        async def handle(self, ctx: Context) -> None:
            raise ConnectionError if ctx.attempt == 1 else NotFoundError

        def should_retry(self, error: Exception) -> bool:
            asked.append(type(error))
            return isinstance(error, ConnectionError)

    await queue.dispatch(Picky())
    async with make_worker(middleware=[logged, logged]):
        (failed,) = await events.wait_for(JobFailed)
    assert asked == [ConnectionError, NotFoundError]
    assert isinstance(failed.error, NotFoundError)
    assert len(events.of(JobProcessing)) == 2


@pytest.mark.case("DEP-03")
@pytest.mark.parametrize("ending", ["success", "error", "timeout"])
async def test_what_a_handler_opened_is_closed_whatever_happens(
    queue, make_worker, clock, events, tmp_path, ending
):
    opened, closed = [], []
    waiting = asyncio.Event()

    @contextlib.asynccontextmanager
    async def connection():
        opened.append("connection")
        try:
            yield
        finally:
            closed.append("connection")

    class Opens(Job, timeout=10, max_attempts=2):
        async def handle(self, ctx: Context) -> None:
            with (tmp_path / "file").open("w") as file:
                opened.append(file)
                async with connection():
                    if ending == "error":
                        raise ValueError
                    if ending == "timeout":
                        waiting.set()
                        await asyncio.Event().wait()

    await queue.dispatch(Opens())
    async with make_worker(backoff=1000):
        if ending == "timeout":
            await waiting.wait()
            clock.advance(10)
        await events.wait_for(JobProcessed if ending == "success" else JobRetrying)
        file, _ = opened
        assert file.closed
        assert closed == ["connection"]
