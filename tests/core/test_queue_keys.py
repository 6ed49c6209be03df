"""How a queue comes by its keys, and the queues that have no store of their own."""

from __future__ import annotations

import pytest

from asyncqueue import ConfigError, Context, Job, Queue, Settings
from asyncqueue.testing import FakeQueue, pop

KEYS = {"signing_keys": ["a signing key"], "encryption_keys": ["ab" * 32]}


class Note(Job, name="KeysNote"):
    text: str

    async def handle(self, ctx: Context) -> str:
        return self.text.upper()


def of(queue: Queue) -> tuple[int, int]:
    return len(queue.seal.signing), len(queue.seal.key_ids)


def test_from_arguments() -> None:
    assert of(Queue("memory://", **KEYS)) == (1, 1)
    assert of(Queue("memory://", signing_keys=(b"1", "2"), encryption_keys=[b"k" * 32])) == (2, 1)
    assert of(Queue("memory://")) == (0, 0)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUE_SIGNING_KEYS", "new, old")
    monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", f"{'ab' * 32},{'cd' * 32}")
    assert of(Queue.from_env(None)) == (2, 2)


def test_arguments_win_and_empty_ones_are_none() -> None:
    settings = Settings(signing_keys=("one", "two"), encryption_keys=("ab" * 32,))
    assert of(Queue("memory://", settings=settings, signing_keys=["three"])) == (1, 1)
    assert of(Queue("memory://", settings=settings, signing_keys=[], encryption_keys=())) == (2, 1)
    assert settings.signing_keys == ("one", "two")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("signing_keys", ["s3cret", ""]),
        ("signing_keys", ["s3cret", None]),
        ("signing_keys", 5),
        ("signing_keys", "s3cret,,"),
        ("encryption_keys", ["s3cret"]),
        ("encryption_keys", "s3cret"),
        ("encryption_keys", [b"s3cret" * 5]),
    ],
)
def test_what_cannot_be_used_is_refused_unseen(name: str, keys: object) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Queue("memory://", **{name: keys})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_neither_the_queue_nor_its_settings_show_them() -> None:
    queue = Queue("memory://", signing_keys=["s3cret"], encryption_keys=["s3cret".ljust(32)])
    for shown in (queue, queue.settings, queue.seal, queue.failed):
        assert "s3cret" not in repr(shown)


async def test_a_fake_queue_seals_and_shows_what_was_pushed() -> None:
    queue = FakeQueue(**KEYS)
    handle = await queue.dispatch(Note("hidden"), timeout=5)
    queue.assert_pushed(Note, where=lambda job: job.text == "hidden")
    (pushed,) = queue.pushed(Note)
    assert (pushed.job, pushed.timeout) == (Note("hidden"), 5)
    assert "hidden" in repr(pushed)
    popped = await pop(queue)
    assert popped is not None
    assert popped.job == Note("hidden")
    (await popped.run()).assert_completed("HIDDEN")
    assert await handle.result() == "HIDDEN"


async def test_a_sync_queue_runs_what_it_sealed() -> None:
    async with Queue("sync://", **KEYS) as queue:
        handle = await queue.dispatch(Note("hidden"))
        assert await handle.result() == "HIDDEN"
