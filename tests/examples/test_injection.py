"""A queue as a dependency of an application's own code."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from asyncqueue import Context, Job, Queue, default_queue
from asyncqueue.testing import FakeQueue, as_default


class Welcome(Job, name="InjectionWelcome"):
    user: int

    async def handle(self, ctx: Context) -> None: ...


app = FastAPI()


@app.post("/users/{user}", status_code=202)
async def create(user: int, queue: Annotated[Queue, Depends(default_queue)]) -> str:
    return (await queue.dispatch(Welcome(user))).id


@pytest.mark.case("DEP-01", "DEP-06")
async def test_a_request_dispatches_with_the_queue_that_it_is_given():
    fake = FakeQueue()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with as_default(fake):
            answer = await client.post("/users/7")
    fake.assert_pushed(Welcome, where=lambda job: job.user == 7, times=1)
    assert answer.json() == fake.pushed()[0].id
