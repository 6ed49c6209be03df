"""Failed jobs: what their records tell, and how they begin anew."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from asyncqueue import Context, Job, JobFailed, JobNotFound, JobProcessing, JobRetrying, State

from ..recorder import until


@pytest.fixture
def make_worker(make_worker):
    """These tests jump over leases."""
    return partial(make_worker, lease=1_000_000)


class Breaks(Job, name="RecordsBreaks", queue="reports", backoff=10):
    n: int = 0

    async def handle(self, ctx: Context) -> None:
        raise ValueError(f"broken in attempt {ctx.attempt}")


async def run_until_failed(worker, clock, events, count=1, look=None):
    """Let the worker run until so many jobs have failed, moving the clock over every wait."""
    async with worker:
        while len(events.of(JobFailed)) < count:
            before = len(events.of(JobRetrying))

            def moved(before=before):
                failed = len(events.of(JobFailed)) >= count
                return failed or len(events.of(JobRetrying)) > before

            await until(moved)
            if look is not None:
                await look()
            clock.advance(10)


@pytest.mark.case("FLD-07", "MON-07")
async def test_the_record_of_a_job_that_failed_three_times(queue, make_worker, clock, events):
    began = clock.now()
    handle = await queue.dispatch(Breaks(7))
    states = []

    async def look():
        info = await handle.status()
        states.append((info.state, info.attempts, info.finished_at))

    await run_until_failed(make_worker("reports"), clock, events, look=look)
    record = await queue.failed.get(handle.id)
    assert (record.id, record.queue, record.name) == (handle.id, "reports", "RecordsBreaks")
    assert (record.payload, record.attempts) == ({"n": 7}, 3)
    assert record.error == "ValueError: broken in attempt 3"
    assert (record.last_attempt_at - began).total_seconds() == 20
    assert record.failed_at == record.last_attempt_at
    assert states == [
        (State.DELAYED, 1, None),
        (State.DELAYED, 2, None),
        (State.FAILED, 3, record.failed_at),
    ]


@pytest.mark.case("FLD-17")
async def test_a_retried_job_has_all_its_attempts_again(queue, make_worker, clock, events):
    handle = await queue.dispatch(Breaks(), max_attempts=3)
    await run_until_failed(make_worker("reports"), clock, events)
    await queue.failed.retry(handle.id)
    await run_until_failed(make_worker("reports"), clock, events, 2)
    attempts = [event.attempt for event in events.of(JobProcessing)]
    assert attempts == [1, 2, 3, 1, 2, 3]
    assert (await queue.failed.list()).total == 1


@pytest.mark.case("FLD-14")
async def test_a_page_is_plain_data_with_the_number_of_all(queue, make_worker, clock, events):
    for n in range(8):
        await queue.dispatch(Breaks(n), max_attempts=1)
    await run_until_failed(make_worker("reports"), clock, events, 8)
    page = await queue.failed.list(limit=5, offset=5)
    shown = msgspec.json.decode(msgspec.json.encode(page))
    assert shown["total"] == 8
    assert [item["name"] for item in shown["items"]] == ["RecordsBreaks"] * 3
    assert {"id", "queue", "payload", "error", "attempts", "failed_at"} <= shown["items"][0].keys()


class RecordsWell(Job, name="RecordsWell", queue="reports"):
    async def handle(self, ctx: Context) -> None: ...


@pytest.mark.case("FLD-14")
async def test_of_finished_jobs_those_that_failed_are_meant_the_last_that_failed_first(
    queue, make_worker, clock, events
):
    done = await queue.dispatch(RecordsWell())
    last = await queue.dispatch(Breaks(1), max_attempts=1, delay=10)
    first = await queue.dispatch(Breaks(2), max_attempts=1)
    worker = make_worker("reports")
    async with worker:
        await until(lambda: len(events.of(JobFailed)) == 1)
    clock.advance(10)
    await run_until_failed(worker, clock, events, 2)
    page = await queue.failed.list("reports")
    assert [item.id for item in page.items] == [last.id, first.id]
    assert page.total == 2
    for call in (queue.failed.get, queue.failed.retry, queue.failed.forget):
        with pytest.raises(JobNotFound):
            await call(done.id)
    assert await queue.failed.retry_all(name="*jobs.RecordsWell") == 0
    assert await queue.failed.retry_all(name="*jobs.RecordsBreaks") == 2
    await run_until_failed(worker, clock, events, 4)
    assert await queue.failed.flush() == 2
    assert (await done.status()).state is State.COMPLETED
