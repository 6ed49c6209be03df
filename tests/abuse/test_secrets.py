"""Secrets and payloads are in no log, no error text and no repr, whatever goes wrong."""

from __future__ import annotations

import logging
import socket
import traceback

import pytest

from asyncqueue import (
    Context,
    DriverUnavailable,
    Job,
    PayloadError,
    PayloadTooLarge,
    Queue,
    Settings,
    Worker,
)
from asyncqueue.record import Filter, Latch, Record, Tally
from asyncqueue.testing import drain

CANARY = "c4n4ry-0f-s3cr3ts"
URLS = [
    "postgresql://user:{secret}@127.0.0.1:{port}/db",
    "postgresql://user@127.0.0.1:{port}/db?password={secret}",
    "redis://:{secret}@127.0.0.1:{port}/0",
    "redis://user:{secret}@127.0.0.1:{port}/0",
    "redis+sentinel://:{secret}@127.0.0.1:{port}/primary/0",
    "redis+cluster://:{secret}@127.0.0.1:{port}",
]


class SecretCarrier(Job, max_attempts=2, backoff=0.01):
    card: str
    cents: int = 1

    async def handle(self, ctx: Context) -> None:
        ctx.logger.info("charging")
        raise OSError("no answer")


class SecretHook(SecretCarrier):
    async def failed(self, ctx: Context, error: BaseException) -> None:
        raise RuntimeError("a hook that breaks")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("url", URLS)
async def test_of_an_address(url: str, closed_port: int, caplog):
    caplog.set_level(logging.DEBUG)
    settings = Settings(url=url.format(secret=CANARY, port=closed_port))
    queue = Queue(settings=settings)
    shown = [repr(settings), repr(queue), repr(queue.driver), queue.driver.location(), str(queue)]
    # Log handlers keep what records were made of, and reports of crashes show what frames held.
    shown += [repr(value) for value in vars(queue.driver).values()]
    for act in (queue.ping, lambda: queue.dispatch(SecretCarrier("x")), Worker(queue).start):
        with pytest.raises(DriverUnavailable) as raised:
            await act()
        shown += traceback.format_exception(raised.value)
    await queue.close()
    shown += [repr(line.args) for line in caplog.records]
    assert CANARY not in "\n".join([*shown, caplog.text])


@pytest.mark.parametrize(
    "url", ["postgresql://u:{0}@[bad/x", "redis://:{0}@h:port/0", "huh://:{0}@h"]
)
def test_of_an_address_that_is_none(url: str):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any, but none that tells
        Queue(url.format(CANARY))
    assert CANARY not in "".join(traceback.format_exception(raised.value))


async def test_of_payloads(make_queue, caplog, capsys):
    """A job that fails, one that is refused, one that is too large, one of another shape."""
    caplog.set_level(logging.DEBUG)
    queue = make_queue(settings=Settings(max_payload=2_000))
    handles = [await queue.dispatch(kind(CANARY)) for kind in (SecretCarrier, SecretHook)]
    shown = [repr(handle) for handle in handles]
    for bad, error in (
        (SecretCarrier(CANARY * 1_000), PayloadTooLarge),
        (SecretCarrier({CANARY: object()}), PayloadError),
    ):
        with pytest.raises(error) as raised:
            await queue.dispatch(bad)
        shown.append(str(raised.value))
    stored = (await queue.driver.find(Filter(ids=(handles[0].id,)))).items[0]
    forged = {
        "other-type": stored.payload.replace(b"cents\x01", b"cents\xc3"),
        "cut": stored.payload[:-3],
        "unknown-kind": stored.payload,
    }
    for name, payload in forged.items():
        kind = CANARY[:4] if name == "unknown-kind" else "SecretCarrier"
        await queue.driver.enqueue([Record(name, "default", kind, payload)])
    shown += [repr(stored), repr(Record("x", "q", "k", stored.payload))]
    shown.append(repr(Latch("x", CANARY.encode())))
    shown.append(repr(Tally("x", CANARY.encode(), 1, 0, 0, 0, called_off=False, created_at=0.0)))
    for _ in range(40):
        await drain(queue)
        if not await queue.size("default"):
            break
        queue.driver.clock.advance(1.0)
    failed = await queue.failed.list()
    assert len(failed.items) == 5
    shown += [one.error + one.traceback for one in failed.items]
    captured = capsys.readouterr()
    assert CANARY not in "\n".join([*shown, caplog.text, captured.out, captured.err])
