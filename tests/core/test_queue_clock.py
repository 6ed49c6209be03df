from __future__ import annotations

import pytest

from asyncqueue import Context, Job, Queue, Registry
from asyncqueue.testing import Clock


@pytest.mark.parametrize("url", ["memory://", "sqlite:///jobs.db"])
async def test_a_queue_of_any_url_takes_the_time_from_its_clock(url, tmp_path, monkeypatch):
    """Queue(..., clock=) moves the store's time, too."""
    monkeypatch.chdir(tmp_path)

    class Later(Job, replace=True):
        async def handle(self, ctx: Context) -> None: ...

    clock = Clock()
    async with Queue(url, clock=clock, registry=Registry()) as queue:
        handle = await queue.dispatch(Later(), delay=3600)
        assert (await handle.status()).state == "delayed"
        assert (await handle.status()).created_at == clock.now()
        clock.advance(3600)
        assert (await handle.status()).state == "pending"
