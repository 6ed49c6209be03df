"""Tests of code that dispatches jobs, and of the jobs themselves."""

from __future__ import annotations

import pytest

from asyncqueue import Context, Job, Queue
from asyncqueue.testing import Clock, FakeQueue, drain, run_job


class Mailer:
    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, to: str) -> None:
        if to == "nowhere":
            raise ConnectionError("no such host")
        self.sent.append(to)


class SendWelcome(Job, queue="emails", max_attempts=2, backoff=60):
    address: str

    async def handle(self, ctx: Context, mailer: Mailer) -> str:
        await mailer.send(self.address)
        await ctx.dispatch(FollowUp(self.address), delay=86400)
        return "sent"


class FollowUp(Job, queue="emails"):
    address: str

    async def handle(self, ctx: Context, mailer: Mailer) -> None:
        await mailer.send(self.address)


async def sign_up(queue: Queue, address: str) -> None:
    """Stands for your code."""
    await queue.dispatch(SendWelcome(address))


@pytest.mark.asyncio
async def test_signing_up_sends_a_welcome():
    queue = FakeQueue()
    await sign_up(queue, "a@example.org")
    queue.assert_pushed(SendWelcome, times=1, where=lambda job: job.address == "a@example.org")
    queue.assert_pushed(SendWelcome, on="emails")
    queue.assert_not_pushed(FollowUp)


@pytest.mark.asyncio
async def test_an_order_is_a_chain_of_steps():
    queue = FakeQueue()
    await queue.chain(SendWelcome("a@example.org"), FollowUp("a@example.org")).dispatch()
    queue.assert_chained(SendWelcome("a@example.org"), FollowUp)
    queue.assert_not_pushed(FollowUp)  # its turn comes when the first one has completed


@pytest.mark.asyncio
async def test_the_handler():
    mailer = Mailer()
    ran = await run_job(SendWelcome("a@example.org"), services=[mailer])
    ran.assert_completed("sent")
    ran.dispatched.assert_pushed(FollowUp)
    assert mailer.sent == ["a@example.org"]


@pytest.mark.asyncio
async def test_the_last_attempt():
    ran = await run_job(SendWelcome("nowhere"), attempt=1, services=[Mailer()])
    ran.assert_retried(ConnectionError, delay=60)
    ran = await run_job(SendWelcome("nowhere"), attempt=2, services=[Mailer()])
    ran.assert_failed(ConnectionError, match="no such host")


@pytest.mark.asyncio
async def test_the_whole_way():
    clock, mailer = Clock(), Mailer()
    async with Queue("memory://", clock=clock, services=[mailer]) as queue:
        await sign_up(queue, "a@example.org")
        await drain(queue)  # runs what is due, here and now
        assert mailer.sent == ["a@example.org"]

        clock.advance(86400)  # a day passes
        done = await drain(queue)
        assert done.completed == 1
        assert mailer.sent == ["a@example.org"] * 2


@pytest.mark.asyncio
async def test_with_the_fixtures(asyncqueue_fake: FakeQueue):
    await sign_up(asyncqueue_fake, "a@example.org")
    asyncqueue_fake.assert_pushed(SendWelcome)
