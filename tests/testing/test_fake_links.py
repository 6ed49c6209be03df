"""Chains and batches on a fake queue."""

from __future__ import annotations

from typing import Any

import pytest

from asyncqueue import BatchInfo, Context, Job, register_callback
from asyncqueue.testing import FakeQueue, Pushed, PushedBatch, drain

ran: list[str] = []


class FakedStep(Job, queue="steps", max_attempts=4):
    number: int

    async def handle(self, ctx: Context) -> None:
        ran.append(f"step {self.number}")


class FakedPart(Job, priority=7):
    async def handle(self, ctx: Context) -> None:
        ran.append("part")


class FakedReport(Job):
    async def handle(self, ctx: Context) -> None:
        ran.append("report")


def told(batch: BatchInfo) -> None: ...


register_callback("faked links told", told)
KEYS = {"signing_keys": ["s"], "encryption_keys": ["ab" * 32]}


@pytest.fixture(params=[{}, KEYS], ids=["plain", "sealed"])
def fake(request: pytest.FixtureRequest) -> FakeQueue:
    ran.clear()
    return FakeQueue(**request.param)


def message_of(check: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(AssertionError) as failure:
        check(*args, **kwargs)
    return str(failure.value)


@pytest.mark.case("TST-07")
async def test_a_chain_is_recorded_with_its_order_and_options(fake: FakeQueue) -> None:
    chain = (
        fake.chain(FakedStep(1), FakedPart(), FakedStep(2)).on_queue("slow").catch(FakedReport())
    )
    handle = await chain.dispatch()
    fake.assert_chained(FakedStep, FakedPart, FakedStep)
    fake.assert_chained(FakedStep(1), "FakedPart", FakedStep(2), times=1)
    (recorded,) = fake.pushed_chains()
    first, second, third = recorded.links
    assert isinstance(first, Pushed)
    assert isinstance(second, Pushed)
    assert isinstance(third, Pushed)
    assert first.id == handle.id
    assert (first.queue, first.max_attempts, first.job) == ("steps", 4, FakedStep(1))
    assert (second.queue, second.priority) == ("slow", 7)
    assert third.job == FakedStep(2)
    assert isinstance(recorded.catch, Pushed)
    assert recorded.catch.job == FakedReport()
    assert recorded.queue == "slow"


@pytest.mark.case("TST-07")
async def test_only_what_runs_now_is_pushed(fake: FakeQueue) -> None:
    """The rest of a chain and the callbacks of a batch are dispatched when their turn comes."""
    await fake.chain(FakedStep(1), FakedPart()).dispatch()
    await fake.batch(FakedStep(2)).then(FakedReport()).dispatch()
    fake.assert_pushed(FakedStep, times=2)
    fake.assert_not_pushed(FakedPart)
    fake.assert_not_pushed(FakedReport)
    await drain(fake)
    assert sorted(ran) == ["part", "report", "step 1", "step 2"]


@pytest.mark.case("TST-07")
async def test_a_batch_is_recorded_with_its_members_and_options(fake: FakeQueue) -> None:
    def local(batch: BatchInfo) -> None: ...

    batch = fake.batch(FakedStep(1), FakedStep(2), FakedPart()).named("steps").allow_failures()
    batch.then(FakedReport()).then("faked links told").catch(FakedReport()).finally_(local)
    info = await batch.dispatch()
    fake.assert_batched()
    fake.assert_batched(FakedStep, FakedStep, FakedPart, named="steps", times=1)
    fake.assert_batched(FakedStep(1), FakedStep(2), "FakedPart")
    fake.assert_batched(where=lambda one: one.failures_allowed and len(one.jobs) == 3)
    (recorded,) = fake.pushed_batches()
    assert (recorded.id, recorded.name, recorded.queue) == (info.id, "steps", None)
    assert [one.queue for one in recorded.jobs] == ["steps", "steps", "default"]
    report, name = recorded.then
    assert isinstance(report, Pushed)
    assert report.job == FakedReport()
    assert name == "faked links told"
    assert recorded.finally_ == [local]
    await drain(fake)
    assert recorded.finally_ == [local]


@pytest.mark.case("TST-07")
async def test_a_batch_inside_of_a_chain(fake: FakeQueue) -> None:
    batch = fake.batch(FakedPart(), FakedPart())
    await fake.chain(FakedStep(1), batch, FakedReport()).dispatch()
    fake.assert_chained(FakedStep, [FakedPart, FakedPart], FakedReport)
    link = fake.pushed_chains()[0].links[1]
    assert isinstance(link, PushedBatch)
    assert link.id == batch.id
    assert fake.pushed_batches() == []


@pytest.mark.parametrize(
    "links",
    [
        (),
        (FakedStep,),
        (FakedPart, FakedStep),
        (FakedStep, FakedPart, FakedPart),
        (FakedStep(2), FakedPart),
        (FakedStep, [FakedPart]),
        ([FakedStep, FakedPart],),
    ],
)
async def test_another_chain_is_not_it(fake: FakeQueue, links: Any) -> None:
    await fake.chain(FakedStep(1), FakedPart()).dispatch()
    message = message_of(fake.assert_chained, *links)
    assert message.startswith("Such a chain should have been pushed, but was never pushed.\n")
    assert "FakedStep(number=1)" in message
    fake.assert_chained(*links, times=0)


async def test_another_batch_is_not_it(fake: FakeQueue) -> None:
    await fake.batch(FakedStep(1), FakedPart()).named("mine").dispatch()
    assert "never pushed" in message_of(fake.assert_batched, FakedPart, FakedStep)
    assert "never pushed" in message_of(fake.assert_batched, FakedStep(2), FakedPart)
    assert "never pushed" in message_of(fake.assert_batched, named="yours")
    assert "never pushed" in message_of(fake.assert_batched, where=lambda one: one.catch)
    message = message_of(fake.assert_batched, FakedStep, FakedPart, times=2)
    assert "should have been pushed twice, but was pushed once" in message
    assert 'batch "mine" of 2: FakedStep(number=1)' in message


async def test_what_is_refused_is_not_recorded(fake: FakeQueue) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await fake.chain().dispatch()
    with pytest.raises(TypeError):
        await fake.batch(FakedPart(), None).dispatch()
    assert (fake.pushed_chains(), fake.pushed_batches()) == ([], [])
    fake.assert_nothing_pushed()


async def test_recording_can_start_anew(fake: FakeQueue) -> None:
    await fake.chain(FakedStep(1), FakedPart()).dispatch()
    await fake.batch(FakedPart()).dispatch()
    fake.forget_pushed()
    assert (fake.pushed_chains(), fake.pushed_batches()) == ([], [])
    fake.assert_nothing_pushed()


def test_a_link_is_a_job_or_a_kind(fake: FakeQueue) -> None:
    with pytest.raises(TypeError, match="Give a job class"):
        fake.assert_chained(7)  # type: ignore[arg-type]
