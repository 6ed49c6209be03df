"""What remains of a batch: retrying its failed jobs, retention, pruning."""

from __future__ import annotations

import asyncio
import math

import pytest

from asyncqueue import Context, Job, Settings

from ..recorder import until
from .linked import Fails, Step, found, listening, numbers, run, steps


@pytest.fixture
def queue(linking):
    return linking


# Retrying its failed jobs


@pytest.mark.case("BAT-33")
@pytest.mark.parametrize("allowed", [True, False])
async def test_a_failed_member_is_retried_and_succeeds(queue, scene, allowed):
    batch = listening(queue.batch(Step("a"), Fails("b")))
    info = await (batch.allow_failures() if allowed else batch).dispatch()
    await run(queue)
    assert numbers(await found(queue, info)) == (2, 0, 1, 1, 0)
    assert scene.called == ["catch", "finally"]
    (failed,) = (await queue.failed.list()).items
    assert failed.batch_id == info.id
    await mend(queue, failed.id, scene)
    ended = await found(queue, info)
    assert numbers(ended) == (2, 0, 2, 0, 0)
    assert ended.finished
    assert scene.called == ["catch", "finally"]


async def mend(queue, id, scene):
    """Retry a failed job, which succeeds now."""

    class Mended(Job, name="LinkedFails", replace=True):
        what: str
        fails: int

        async def handle(self, ctx: Context) -> None:
            scene.ran.append(f"{self.what} mended")

    await queue.failed.retry(id)
    await run(queue)
    assert scene.ran[-1].endswith("mended")


@pytest.mark.case("BAT-33")
async def test_a_failed_member_that_fails_again_counts_once(queue, scene):
    info = await listening(queue.batch(Step("a"), Fails("b"))).dispatch()
    await run(queue)
    (failed,) = (await queue.failed.list()).items
    await queue.failed.retry(failed.id)
    pending = await found(queue, info)
    assert numbers(pending) == (2, 1, 1, 0, 0)
    await run(queue)
    assert numbers(await found(queue, info)) == (2, 0, 1, 1, 0)
    assert scene.called == ["catch", "finally"]


@pytest.mark.case("BAT-33")
async def test_a_failed_member_is_retried_while_the_batch_goes_on(queue, scene):
    """Of a batch that is cancelled by its failure only the retried one runs."""
    gate = scene.hold("slow")
    batch = listening(queue.batch(Step("slow"), Fails("b"), Step("c")))
    info = await batch.dispatch()
    running = asyncio.create_task(run(queue, concurrency=2))
    await scene.started["slow"].wait()
    await until(lambda: "catch" in scene.called)
    (failed,) = (await queue.failed.list()).items
    await queue.failed.retry(failed.id)
    gate.set()
    await running
    assert scene.ran.count("b") == 2
    assert "c" not in scene.ran
    assert numbers(await found(queue, info)) == (3, 0, 1, 1, 1)
    assert scene.called == ["catch", "finally"]


async def test_forgetting_a_failed_member_changes_no_counter(queue, scene):
    info = await queue.batch(Fails("a")).dispatch()
    await run(queue)
    assert await queue.failed.flush() == 1
    assert numbers(await found(queue, info)) == (1, 0, 0, 1, 0)


# How long it is known


@pytest.mark.case("BAT-27")
async def test_a_finished_batch_is_found_until_its_retention_is_over(queue, scene, clock):
    done = await queue.batch(Step("a")).dispatch()
    waits = await queue.batch(Step("b")).on_queue("elsewhere").dispatch()
    await run(queue, "default")
    clock.advance(3599)
    assert (await found(queue, done)).finished
    clock.advance(2)
    assert await queue.find_batch(done.id) is None
    assert [batch.id for batch in await queue.batches()] == [waits.id]
    clock.advance(365 * 86400)
    assert numbers(await found(queue, waits)) == (1, 1, 0, 0, 0)


@pytest.mark.case("BAT-27")
async def test_the_retention_is_the_settings_and_counts_from_the_end(
    make_queue, driver, queue, scene, clock
):
    short = make_queue(driver, settings=Settings(retention=60), services=[scene])
    info = await listening(short.batch(Step("a"))).dispatch()
    clock.advance(1000)
    await run(short)
    assert scene.called == ["then", "finally"]
    clock.advance(59)
    assert (await found(queue, info)).finished
    clock.advance(2)
    assert await short.find_batch(info.id) is None
    assert await queue.find_batch(info.id) is None
    assert await queue.batches() == []


async def test_callbacks_that_come_late_are_told_of_their_batch_all_the_same(
    make_queue, driver, queue, scene, clock
):
    """A batch that is kept for no time is still known to its own."""
    short = make_queue(driver, settings=Settings(retention=0), services=[scene])
    info = await listening(short.batch(Step("a"))).dispatch()
    await run(short, max_jobs=1)
    assert await short.find_batch(info.id) is None
    clock.advance(600)
    await run(short)
    assert scene.called == ["then", "finally"]
    assert [numbers(call.batch) for call in scene.calls] == [(1, 0, 1, 0, 0)] * 2


@pytest.mark.case("BAT-34")
async def test_pruning_by_kind_and_age(make_queue, driver, linking, scene, clock):
    queue = make_queue(driver, settings=Settings(retention=1e9), services=[scene])
    batches = {}
    for age in ("old", "new"):
        batches[age, "finished"] = await queue.batch(Step("a")).dispatch()
        batches[age, "broken"] = await queue.batch(Fails("b")).dispatch()
        await run(queue)
        batches[age, "cancelled"] = await queue.batch(Step("c")).on_queue("q").dispatch()
        await queue.cancel_batch(batches[age, "cancelled"].id)
        batches[age, "unfinished"] = await queue.batch(Step("d")).on_queue("q").dispatch()
        clock.advance(86400 if age == "old" else 100)

    async def left():
        known = {batch.id for batch in await queue.batches()}
        return {key for key, info in batches.items() if info.id in known}

    everything = set(batches)
    assert await queue.prune_batches(None) == 0
    assert await queue.prune_batches(finished=2 * 86400) == 0
    assert await left() == everything
    assert await queue.prune_batches(None, cancelled=50_000) == 2
    everything -= {("old", "cancelled"), ("old", "broken")}
    assert await left() == everything
    assert await queue.prune_batches() == 1
    assert await left() == everything - {("old", "finished")}
    assert await queue.prune_batches(None, unfinished=50_000) == 1
    assert await left() == {("new", kind) for kind in ("finished", "broken", "cancelled")} | {
        ("new", "unfinished")
    }
    assert await queue.prune_batches(0, unfinished=0, cancelled=0) == 4
    assert await left() == set()


@pytest.mark.case("BAT-34")
async def test_a_batch_that_ended_counts_from_then_also_if_it_was_cancelled(queue, scene, clock):
    await queue.batch(Step("a")).dispatch()
    cancelled = await queue.batch(Step("b")).on_queue("q").dispatch()
    clock.advance(100)
    await run(queue)
    await queue.cancel_batch(cancelled.id)
    clock.advance(10)
    assert await queue.prune_batches(50) == 0
    assert await queue.prune_batches(10) == 2


@pytest.mark.case("BAT-34")
async def test_pruning_takes_what_a_batch_holds_and_leaves_its_jobs(queue, scene, clock):
    info = await listening(queue.batch(*steps("a", "b"))).dispatch()
    clock.advance(10)
    assert await queue.prune_batches(None, unfinished=5) == 1
    assert await queue.find_batch(info.id) is None
    await run(queue)
    assert scene.ran == ["a", "b"]
    assert scene.called == []


@pytest.mark.parametrize("wrong", [{"finished": math.inf}, {"cancelled": "1d"}])
async def test_limits_that_cannot_be_meant_are_refused(queue, wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        await queue.prune_batches(**wrong)
