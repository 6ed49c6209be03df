"""Chains that fail: their catch, and what became of failed links that are retried."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    JobFailed,
    JobQueued,
    Registry,
    State,
    UnknownJob,
)
from asyncqueue.events import BatchEvent
from asyncqueue.record import Source

from ..recorder import until
from .linked import Boom, Call, Fails, Report, Step, run, steps


@pytest.fixture
def queue(linking):
    return linking


@pytest.mark.case("CHN-05")
async def test_catch_is_called_once_with_the_error_after_the_hook(queue, scene):
    hook_may_end = asyncio.Event()

    class Hooked(Fails):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            await scene.called_as("hook begins", None, error)
            await hook_may_end.wait()
            await scene.called_as("hook ends", None, error)

    await queue.chain(Step("a"), Hooked("b"), Step("c")).catch("chain_catch").dispatch()
    running = asyncio.create_task(run(queue, concurrency=5))
    await scene.started["hook begins"].wait()
    await run(queue, concurrency=5)  # Another worker has its chance.
    assert scene.called == ["hook begins"]
    hook_may_end.set()
    await running
    assert scene.called == ["hook begins", "hook ends", "chain catch"]
    assert "b" in str(scene.calls[-1].error)
    assert scene.ran == ["a", "b"]
    await run(queue)
    assert len(scene.called) == 3
    assert await queue.size("default") == 0


@pytest.mark.case("CHN-05")
async def test_a_hook_that_breaks_does_not_hold_up_the_catch(queue, scene):
    class Hooked(Fails):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            raise Boom("the hook")

    await queue.chain(Hooked("a")).catch("chain_catch").dispatch()
    await run(queue)
    assert scene.called == ["chain catch"]


@pytest.mark.case("CHN-05")
async def test_a_hook_whose_end_nobody_can_tell_holds_up_the_catch_for_a_bounded_time(
    queue, scene, clock, monkeypatch
):
    """As if its process had died in it."""

    class Hooked(Fails, timeout=20):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            scene.calls.append(Call("hook"))

    async def died(*_: object) -> None: ...

    monkeypatch.setattr("asyncqueue.worker.hooks.hook_ended", died)
    await queue.chain(Hooked("a")).catch("chain_catch").dispatch()
    await run(queue)
    clock.advance(20)
    await run(queue)
    assert scene.called == ["hook"]
    clock.advance(31)
    await run(queue)
    assert scene.called == ["hook", "chain catch"]
    assert "a" in str(scene.calls[-1].error)


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_a_worker_does_not_end_as_empty_before_it_was_told_that_the_hook_has_ended(
    queue, driver, scene, monkeypatch
):
    cancel, telling, may_be_told = driver.cancel, asyncio.Event(), asyncio.Event()

    async def cancels(*args):
        telling.set()
        await may_be_told.wait()
        return await cancel(*args)

    class Hooked(Fails):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            scene.calls.append(Call("hook"))

    monkeypatch.setattr(driver, "cancel", cancels)
    await queue.chain(Hooked("a")).catch("chain_catch").dispatch()
    running = asyncio.create_task(run(queue))
    await telling.wait()
    await asyncio.sleep(0.05)  # It looks several times meanwhile.
    assert not running.done()
    may_be_told.set()
    await running
    assert scene.called == ["hook", "chain catch"]


@pytest.mark.parametrize("driver", ["memory"], indirect=True)
async def test_a_worker_ends_though_the_store_cannot_be_told_that_the_hook_has_ended(
    queue, driver, scene, monkeypatch, caplog, clock
):
    class Hooked(Fails, timeout=20):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            scene.calls.append(Call("hook"))

    async def away(*_args):
        raise DriverUnavailable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(driver, "cancel", away)
        await queue.chain(Hooked("a")).catch("chain_catch").dispatch()
        await run(queue)
    assert "waits for up to a minute longer: the store is away" in caplog.text
    clock.advance(51)
    await run(queue)
    assert scene.called == ["hook", "chain catch"]


@pytest.mark.case("CHN-05")
async def test_what_stands_for_a_hook_is_not_seen(queue, scene, events):
    class Hooked(Fails):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            assert await queue.batches() == []
            assert await queue.prune_batches(0, unfinished=0, cancelled=0) == 0
            scene.calls.append(Call("hook"))

    await queue.chain(Hooked("a")).catch(Report("caught")).dispatch()
    await run(queue)
    assert scene.called == ["hook", "caught"]
    assert events.of(BatchEvent) == []
    assert [event.name for event in events.of(JobQueued)] == ["Hooked", "LinkedReport"]
    report = next(job for job in (await queue.jobs()).items if job.name == "LinkedReport")
    assert report.batch_id is None
    assert await queue.size("default") == 0


@pytest.mark.case("CHN-05")
async def test_a_job_as_catch_is_told_which_job_failed_and_why(queue, scene):
    await queue.chain(Step("a"), Fails("b")).catch(Report("caught")).dispatch()
    await run(queue)
    (call,) = scene.calls
    assert (call.name, call.batch) == ("caught", None)
    (failed,) = (await queue.failed.list()).items
    assert (call.error.job_id, call.error.error) == (failed.id, "Boom: b")


@pytest.mark.case("CHN-05")
async def test_catch_is_called_for_every_way_to_fail(queue, scene, clock, make_worker, events):
    class Hangs(Step, timeout=10, max_attempts=1): ...

    scene.hold("hangs")
    await queue.chain(Hangs("hangs"), Step("after")).catch("chain_catch").dispatch()
    async with make_worker():
        await scene.started["hangs"].wait()
        clock.advance(11)
        await events.wait_for(JobFailed)
        await until(lambda: scene.called == ["chain catch"])
    assert "Timeout" in type(scene.calls[0].error).__name__


@pytest.mark.case("CHN-05")
async def test_catch_is_called_where_a_link_is_of_an_unknown_kind(make_queue, driver, queue, scene):
    class Gone(Job):
        async def handle(self, ctx: Context) -> None: ...

    registry = Registry()
    registry.register(Step)
    elsewhere = make_queue(driver, registry=registry, services=[scene])
    await queue.chain(Step("a"), Gone(), Step("c")).catch("chain_catch").dispatch()
    await run(elsewhere)
    assert scene.ran == ["a"]
    assert scene.called == ["chain catch"]
    assert isinstance(scene.calls[0].error, UnknownJob)


@pytest.mark.case("CHN-05")
async def test_workers_that_die_use_up_a_link_and_then_its_catch_is_called(queue, scene, clock):
    class Deadly(Step, max_attempts=2): ...

    handle = await queue.chain(Deadly("a"), Step("b")).catch("chain_catch").dispatch()
    for _ in range(2):
        assert (await queue.driver.claim([Source("default")], 1, 10.0, "dies")).claims
        clock.advance(11)
        await queue.driver.sweep()
    await run(queue)
    assert (await handle.status()).state is State.FAILED
    assert (scene.ran, scene.called) == ([], ["chain catch"])


async def test_catch_is_not_called_where_all_goes_well(queue, scene):
    await queue.chain(*steps("a", "b")).catch("chain_catch").dispatch()
    await run(queue)
    assert (scene.ran, scene.called) == (["a", "b"], [])


async def test_one_catch_only(queue):
    chain = queue.chain(Step()).catch("chain_catch")
    with pytest.raises(ValueError, match="has a catch already"):
        chain.catch("other")


async def test_a_failed_link_that_is_retried_goes_on_with_its_chain(queue, scene):
    mended = False

    async def break_unless_mended(ctx: Context) -> None:
        if not mended:
            raise Boom("not mended")

    class Once(Step, max_attempts=1): ...

    scene.acts = {"b": break_unless_mended}
    await queue.chain(Step("a"), Once("b"), Step("c")).catch("chain_catch").dispatch()
    await run(queue)
    assert (scene.ran, scene.called) == (["a", "b"], ["chain catch"])
    (failed,) = (await queue.failed.list()).items
    await queue.failed.retry(failed.id)
    await run(queue)
    assert (scene.ran, scene.called) == (["a", "b", "b"], ["chain catch"] * 2)
    mended = True
    await queue.failed.retry(failed.id)
    await run(queue)
    assert scene.ran == ["a", "b", "b", "b", "c"]
    assert len(scene.called) == 2


async def test_a_later_link_that_fails_is_caught_although_an_earlier_one_was(queue, scene):
    async def break_once(ctx: Context) -> None:
        if scene.ran.count("a") == 1:
            raise Boom("first")

    class Once(Step, max_attempts=1): ...

    scene.acts = {"a": break_once}
    await queue.chain(Once("a"), Fails("b")).catch("chain_catch").dispatch()
    await run(queue)
    await queue.failed.retry_all()
    await run(queue)
    assert scene.ran == ["a", "a", "b"]
    assert ["first" in str(call.error) for call in scene.calls] == [True, False]
