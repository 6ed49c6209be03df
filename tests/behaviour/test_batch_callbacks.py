"""What is called when a batch ends or fails: in which order, how often, with what."""

from __future__ import annotations

import asyncio

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    JobFailed,
    JobFailedError,
    JobProcessed,
    State,
    UnknownCallback,
    register_callback,
)
from asyncqueue.callbacks import CallbackJob, callbacks
from asyncqueue.record import Settlement, Source

from ..recorder import until
from .linked import Boom, Call, Fails, Report, Step, found, listening, numbers, run, steps

KIND = CallbackJob.__job_name__


@pytest.fixture
def queue(linking):
    return linking


# In which order


@pytest.mark.case("BAT-20")
@pytest.mark.parametrize("first", ["then", "catch"])
async def test_the_end_waits_for_the_other_callback(queue, scene, first):
    gate = scene.hold(first)
    job = Step("a") if first == "then" else Fails("a")
    await listening(queue.batch(job)).dispatch()
    running = asyncio.create_task(run(queue, concurrency=5))
    await scene.started[first].wait()
    await run(queue, concurrency=5)  # Another worker has its chance.
    assert scene.called == [first]
    gate.set()
    await running
    assert scene.called == [first, "finally"]


@pytest.mark.case("BAT-20")
async def test_the_end_waits_for_a_callback_that_is_retried(queue, scene, clock):
    class Flaky(Step, backoff=10): ...

    batch = queue.batch(Step("a")).then(Flaky("flaky", fails=1)).finally_("end")
    await batch.dispatch()
    await run(queue)
    assert (scene.ran, scene.called) == (["a", "flaky"], [])
    clock.advance(11)
    await run(queue)
    assert (scene.ran, scene.called) == (["a", "flaky", "flaky"], ["finally"])


@pytest.mark.case("BAT-20")
async def test_catch_is_called_while_others_of_the_batch_run(queue, scene):
    gate = scene.hold("slow")
    batch = listening(queue.batch(Fails("a"), Step("slow"))).allow_failures()
    await batch.dispatch()
    running = asyncio.create_task(run(queue, concurrency=5))
    await scene.started["catch"].wait()
    assert numbers(scene.calls[0].batch) == (2, 1, 0, 1, 0)
    assert not scene.calls[0].batch.finished
    gate.set()
    await running
    assert scene.called == ["catch", "finally"]


async def test_several_of_one_kind_are_all_called(queue, scene):
    batch = queue.batch(Step("a")).then("then").then(Report("report"))
    await batch.finally_("end").finally_(Report("last")).dispatch()
    await run(queue)
    assert sorted(scene.called[:2]) == ["report", "then"]
    assert sorted(scene.called[2:]) == ["finally", "last"]


# What goes wrong in them


@pytest.mark.case("BAT-21")
async def test_a_callback_that_raises_is_logged_and_the_end_comes(queue, scene, caplog):
    batch = queue.batch(Step("a")).then("breaks").finally_("end")
    await batch.dispatch()
    other = await queue.dispatch(Step("other"))
    await run(queue)
    assert scene.called == ["breaks", "finally"]
    assert "Boom: a callback" in caplog.text
    assert (await other.status()).state is State.COMPLETED
    (failed,) = (await queue.failed.list()).items
    assert (failed.name, failed.error) == (KIND, "Boom: a callback")
    assert failed.payload == {"callback": "breaks", "when": "then"}
    assert failed.batch_id == batch.id


@pytest.mark.case("BAT-21")
async def test_a_function_that_raised_is_not_called_again(queue, scene, clock):
    await queue.batch(Step("a")).then("breaks").dispatch()
    await run(queue)
    clock.advance(1000)
    await run(queue)
    assert scene.called == ["breaks"]


@pytest.mark.case("BAT-21")
async def test_one_that_raised_is_called_again_on_request(queue, scene):
    """By an operator, who mended what was wrong."""
    await queue.batch(Step("a")).then("breaks").finally_("end").dispatch()
    await run(queue)
    register_callback("breaks", scene.then, replace=True)
    assert await queue.failed.retry_all(name=KIND) == 1
    await run(queue)
    assert scene.called == ["breaks", "finally", "then"]
    assert (scene.calls[-1].batch.finished, scene.calls[-1].batch.completed) == (True, 1)


async def test_a_callback_that_could_not_reach_the_store_is_called_again(queue, scene, clock):
    tries = []

    async def dispatches(batch):
        tries.append(batch.id)
        if len(tries) == 1:
            raise DriverUnavailable("the store is away")

    register_callback("dispatches", dispatches)
    await queue.batch(Step("a")).then("dispatches").finally_("end").dispatch()
    await run(queue)
    assert scene.called == []
    clock.advance(10)
    await run(queue)
    assert len(tries) == 2
    assert scene.called == ["finally"]


@pytest.mark.case("BAT-21")
async def test_a_callback_that_hangs_is_cut_off_and_the_end_comes(
    queue, scene, clock, make_worker, events
):
    scene.hold("then")
    await listening(queue.batch(Step("a"))).dispatch()
    async with make_worker(timeout=10):
        await scene.started["then"].wait()
        clock.advance(11)
        await events.wait_for(JobFailed)
        await until(lambda: scene.called == ["then", "finally"])
    (failed,) = (await queue.failed.list()).items
    assert failed.error.startswith("JobTimeout")


@pytest.mark.case("BAT-29")
async def test_a_job_that_is_a_callback_fails_like_any_other(queue, scene, clock):
    class Hooked(Fails):
        async def failed(self, ctx: Context, error: BaseException) -> None:
            scene.calls.append(Call("hook"))

    await queue.batch(Step("a")).then(Hooked("then")).finally_("end").dispatch()
    await run(queue)
    assert sorted(scene.called) == ["finally", "hook"]
    assert scene.ran == ["a", "then"]


# By name


@pytest.mark.case("BAT-22")
async def test_plain_and_async_functions_and_other_callables(queue, scene):
    class Callable:
        async def __call__(self, batch):
            scene.calls.append(Call("object", batch))

    def plain(batch):
        scene.calls.append(Call("plain", batch))

    register_callback("plain", plain)
    register_callback("object", Callable())
    info = await queue.batch(Step("a")).then("plain").finally_("object").dispatch()
    await run(queue)
    assert [(call.name, call.batch.id) for call in scene.calls] == [
        ("plain", info.id),
        ("object", info.id),
    ]


@pytest.mark.case("BAT-22")
async def test_a_catch_may_take_the_error_alone(queue, scene):
    register_callback("error only", lambda error: scene.calls.append(Call("caught", None, error)))
    register_callback("anything", lambda *given: scene.calls.append(Call("given", *given)))
    await queue.batch(Fails("a")).catch("error only").catch("anything").dispatch()
    await run(queue)
    by_name = {call.name: call for call in scene.calls}
    assert "a" in str(by_name["caught"].error)
    assert by_name["given"].batch.failed == 1
    assert "a" in str(by_name["given"].error)


@pytest.mark.case("BAT-22")
async def test_a_name_that_one_worker_lacks_is_called_by_another(queue, scene, clock):
    known = callbacks._named.pop("then")
    await queue.batch(Step("a")).then("then").finally_("end").dispatch()
    await run(queue)
    assert scene.called == []
    callbacks._named["then"] = known
    clock.advance(10)
    await run(queue)
    assert scene.called == ["then", "finally"]


@pytest.mark.case("BAT-24")
async def test_a_name_that_nobody_knows_is_retried_and_recorded(queue, scene, clock, events):
    info = await queue.batch(Step("a")).then("thne").finally_("end").dispatch()
    for _ in range(3):
        assert (await queue.failed.list()).total == 0
        await run(queue)
        clock.advance(100)
    (failed,) = (await queue.failed.list()).items
    assert (failed.name, failed.attempts, failed.batch_id) == (KIND, 3, info.id)
    (event,) = events.of(JobFailed)
    assert isinstance(event.error, UnknownCallback)
    assert 'Did you mean "then"?' in str(event.error)
    await run(queue)
    assert scene.called == ["finally"]


def test_registering(monkeypatch):
    monkeypatch.setattr(callbacks, "_named", {})

    def one(batch): ...

    def other(batch): ...

    register_callback("name", one)
    register_callback("name", one)
    with pytest.raises(ValueError, match="is taken"):
        register_callback("name", other)
    register_callback("name", other, replace=True)
    assert callbacks.find("name") is other
    assert callbacks.known("name")
    for wrong in ((None, one), ("", one), ("x", None)):
        with pytest.raises(TypeError):
            register_callback(*wrong)


@pytest.mark.case("BAT-04", "BAT-20")
@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_callbacks_where_all_members_end_in_one_call_of_the_store(queue, scene, failing):
    """As where they end at one moment in one worker."""
    await listening(queue.batch(*steps("a", "b", "c"))).allow_failures().dispatch()
    claims = (await queue.driver.claim([Source("default")], 3, 30.0, "w")).claims
    states = [State.FAILED if n == failing else State.COMPLETED for n in range(3)]
    await queue.driver.settle(
        [
            Settlement(one.id, one.token, state, 1, latch=one.latch, error="E", retention=60)
            for one, state in zip(claims, states, strict=True)
        ]
    )
    await run(queue)
    assert scene.called == ["catch", "finally"]


# Functions of this process


in_process = pytest.mark.parametrize("driver", ["memory"], indirect=True)
shared = pytest.mark.parametrize("driver", ["postgres", "redis", "sqlite"], indirect=True)


@pytest.mark.case("BAT-23")
@in_process
async def test_functions_where_producer_and_worker_share_a_process(queue, scene):
    batch = queue.batch(*steps("a", "b")).then(scene.then).finally_(scene.end)
    await batch.dispatch()
    chain = queue.chain(Fails("c")).catch(
        lambda error: scene.calls.append(Call("caught", None, error))
    )
    await chain.dispatch()
    await run(queue)
    assert scene.called == ["then", "finally", "caught"]


@pytest.mark.case("BAT-23")
@shared
async def test_a_function_is_refused_where_another_process_may_have_to_call_it(queue, scene):
    for refused in (queue.batch(Step("a")).then(scene.then), queue.chain(Step()).catch(print)):
        with pytest.raises(ValueError, match="register_callback"):
            await refused.dispatch()
    assert (await queue.jobs()).items == []


@pytest.mark.case("BAT-23")
@in_process
async def test_a_function_whose_call_was_broken_off_by_a_stop_is_called_again(
    queue, scene, make_worker
):
    gate = scene.hold("then")
    await queue.batch(Step("a")).then(scene.then).finally_(scene.end).dispatch()
    worker = make_worker()
    await worker.start()
    await scene.started["then"].wait()
    await worker.stop()
    gate.set()
    await run(queue)
    assert scene.called == ["then", "then", "finally"]


@pytest.mark.case("BAT-23")
@in_process
async def test_functions_are_let_go_of_once_they_were_called(queue, scene, monkeypatch):
    monkeypatch.setattr(callbacks, "_local", type(callbacks._local)())
    await queue.batch(Step("a")).then(scene.breaks).finally_(scene.end).dispatch()
    assert len(callbacks._local) == 2
    await run(queue)
    assert scene.called == ["breaks", "finally"]
    assert len(callbacks._local) == 0


@pytest.mark.case("BAT-23")
@in_process
async def test_more_functions_wait_than_a_worker_ever_has_jobs(queue, scene):
    many = 11_000
    called = []
    names = [callbacks.keep(lambda n=n: called.append(n)) for n in range(many)]
    for name in names:
        callbacks.find(name)()
        callbacks.forget(name)
    assert len(called) == many


# As jobs


@pytest.mark.case("BAT-29", "BAT-30")
async def test_a_job_is_dispatched_once_after_all_have_succeeded(queue, scene):
    class Completion(Job, queue="reports", max_attempts=7):
        batch: str

        async def handle(self, ctx: Context) -> None:
            scene.calls.append(Call(self.batch, await ctx.batch()))

    batch = queue.batch(*steps("a", "b")).on_queue("emails")
    info = await batch.then(Completion(batch.id)).dispatch()
    await run(queue, ["emails"], max_jobs=1)
    assert await queue.size("reports") == 0
    await run(queue, ["emails"])
    assert await queue.size("reports") == 1
    (job,) = (await queue.jobs(queue="reports")).items
    assert (job.name, job.max_attempts, job.batch_id) == ("Completion", 7, info.id)
    await run(queue, ["reports"])
    assert [(call.name, call.batch.id) for call in scene.calls] == [(info.id, info.id)]
    assert await queue.size("reports") == 0


async def test_a_job_callback_that_says_no_queue_goes_where_the_members_go(queue, scene):
    await queue.batch(Step("a")).on_queue("emails").then(Report()).dispatch()
    await run(queue, ["emails"])
    assert scene.called == ["report"]


async def test_a_callback_with_a_delay_waits_from_when_its_time_has_come(queue, scene, clock):
    class Later(Report, delay=60): ...

    await queue.batch(Step("a")).then(Later("late")).finally_("end").dispatch()
    clock.advance(1000)
    await run(queue)
    clock.advance(59)
    await run(queue)
    assert scene.called == []
    clock.advance(2)
    await run(queue)
    assert scene.called == ["late", "finally"]


async def test_a_callback_that_is_unique_holds_no_key(queue, scene):
    class Unique(Report, unique=True): ...

    await queue.dispatch(Unique(), delay=1e6)
    for _ in range(2):
        await queue.batch(Step("a")).then(Unique()).dispatch()
    await run(queue)
    assert scene.called == ["report", "report"]


async def test_a_callback_can_be_cancelled_before_its_time(queue, scene):
    batch = queue.batch(Step("a")).then(Report("then")).finally_("end")
    info = await batch.dispatch()
    waiting = [job.id for job in (await queue.jobs()).items]
    assert len(waiting) == 1  # What is held back is not among them.
    await run(queue, max_jobs=1)
    (then,) = (await queue.jobs(name="LinkedReport")).items
    assert (then.state, then.batch_id) == (State.PENDING, info.id)
    assert await queue.cancel(then.id)
    await run(queue)
    assert scene.called == ["finally"]


async def test_a_running_callback_can_be_cancelled(queue, scene, make_worker):
    scene.hold("then")
    await listening(queue.batch(Step("a"))).dispatch()
    async with make_worker():
        await scene.started["then"].wait()
        (then,) = (await queue.jobs(state="processing")).items
        assert await queue.cancel(then.id)
        await until(lambda: scene.called == ["then", "finally"])
    assert (await queue.status(then.id)).state is State.CANCELLED


async def test_a_worker_that_dies_in_a_callback(queue, scene, clock):
    """Its lease runs out; the callback is run again, the end waits for it."""

    await listening(queue.batch(Step("a"))).dispatch()
    await run(queue, max_jobs=1)
    assert (await queue.driver.claim([Source("default")], 1, 10.0, "dies")).claims
    await run(queue)
    assert scene.called == []
    clock.advance(11)
    await queue.driver.sweep()
    await run(queue)
    assert scene.called == ["then", "finally"]


async def test_workers_that_die_in_a_callback_use_it_up_and_the_end_comes(queue, scene, clock):

    info = await listening(queue.batch(Step("a"))).dispatch()
    await run(queue, max_jobs=1)
    for _ in range(3):
        assert (await queue.driver.claim([Source("default")], 1, 10.0, "dies")).claims
        clock.advance(11)
        await queue.driver.sweep()
    await run(queue)
    assert scene.called == ["finally"]
    (failed,) = (await queue.failed.list()).items
    assert failed.error.startswith("AttemptsExhausted")
    assert numbers(await found(queue, info)) == (1, 0, 1, 0, 0)


async def test_callbacks_count_in_no_batch(queue, scene, events):
    info = await listening(queue.batch(Fails("a"))).allow_failures().dispatch()
    await run(queue)
    assert len(events.of(JobProcessed)) == 2
    assert numbers(await found(queue, info)) == (1, 0, 0, 1, 0)
    assert [job.name for job in (await queue.jobs(batch=info.id)).items] == ["LinkedFails"]


# What the error of ``catch`` is


async def test_the_error_says_what_happened(queue, scene):
    await listening(queue.batch(Fails("what went wrong"))).dispatch()
    await run(queue)
    error = scene.calls[0].error
    assert isinstance(error, Exception)
    assert "what went wrong" in str(error)


async def test_in_one_process_it_is_the_very_error(queue, scene):
    raised = Boom("this one")

    async def explode(ctx: Context) -> None:
        raise raised

    scene.acts = {"a": explode}
    await listening(queue.batch(Fails("a"))).dispatch()
    await queue.chain(Fails("a")).catch("chain_catch").dispatch()
    await run(queue)
    errors = [call.error for call in scene.calls if call.error is not None]
    if queue.driver.in_process:
        assert errors == [raised, raised]
    else:
        assert [type(error) for error in errors] == [JobFailedError] * 2
        assert {str(error) for error in errors} == {"Boom: this one"}


async def test_of_many_errors_a_process_keeps_the_newest(queue, monkeypatch):
    monkeypatch.setattr("asyncqueue.callbacks.MOST_ERRORS", 3)
    for n in range(5):
        callbacks.remember_error(f"batch {n}", Boom(str(n)))
    assert type(callbacks.error("batch 1", "Boom: 1")) is JobFailedError
    assert type(callbacks.error("batch 4", "Boom: 4")) is Boom
