"""Bad input is refused at once, by an error that names what was given and what to do."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker, register, set_default
from asyncqueue.registry import default_registry


@pytest.fixture
def queue() -> Queue:
    return Queue("memory://", registry=Registry())


@pytest.mark.parametrize("given", [None, 3, "sqlite:///queue.db", Queue])
def test_a_worker_needs_a_queue(given: Any) -> None:
    with pytest.raises(TypeError, match="A worker needs the Queue that it works on, got "):
        Worker(given)


@pytest.mark.parametrize("given", [{}, [], "jobs"])
def test_a_queue_takes_a_registry_only(given: Any) -> None:
    with pytest.raises(TypeError, match="registry must be a Registry"):
        Queue("memory://", registry=given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": 3}, "queues must be a name, a list of names or a dict .* got 3"),
        ({"handler": 3}, "handler must be callable with the job, got 3"),
        ({"logger": 3}, "logger must be a logging.Logger, got 3"),
        ({"logger": "asyncqueue"}, "logger must be a logging.Logger, got 'asyncqueue'"),
        ({"prefetch": "many"}, "prefetch must be a whole number, got 'many'"),
        ({"prefetch": True}, "prefetch must be a whole number, got True"),
    ],
)
def test_worker_options_of_a_wrong_kind(queue: Queue, options: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Worker(queue, **options)


@pytest.mark.parametrize("given", [0, -1, True, 1.5, "three"])
def test_max_jobs_is_a_number_of_jobs(queue: Queue, given: Any) -> None:
    with pytest.raises(ValueError, match=f"max_jobs must be at least 1, got {given!r}"):
        Worker(queue, max_jobs=given)


def test_an_adapter_of_a_logger_is_a_logger(queue: Queue) -> None:
    adapter: Any = logging.LoggerAdapter(logging.getLogger("tests.adapter"), {})
    assert Worker(queue, logger=adapter).log is adapter


@pytest.mark.parametrize("given", [3, "sqlite:///queue.db", Queue])
def test_the_default_queue_is_a_queue_or_none(given: Any) -> None:
    former = set_default(None)
    try:
        with pytest.raises(TypeError, match=r"set_default\(\) takes a Queue or None, got "):
            set_default(given)
        assert set_default(None) is None
    finally:
        set_default(former)


async def test_more_time_is_not_less_time() -> None:
    """A negative one would bring the deadline nearer, or put it into the past."""
    raised: list[ValueError] = []

    class Stretched(Job):
        async def handle(self, ctx: Context) -> None:
            before = ctx.deadline
            await ctx.extend(0)
            assert ctx.deadline is not None
            assert before is not None
            assert abs((ctx.deadline - before).total_seconds()) < 1
            try:
                await ctx.extend(-1)
            except ValueError as error:
                raised.append(error)

    async with Queue("memory://") as queue:
        await queue.dispatch(Stretched())
        await Worker(queue, stop_when_empty=True).run()
    assert str(raised[0]) == "extend takes the seconds to add to the deadline, got -1"


def test_registering_can_decorate() -> None:
    """The class stays what its name stands for."""
    registry = Registry()

    @registry.register
    class Plain:
        pass

    assert isinstance(Plain(), registry.find("Plain"))

    @register
    class Decorated(Job):
        number: int

        async def handle(self, ctx: Context) -> None: ...

    assert Decorated(number=1).number == 1
    assert default_registry.find("Decorated") is Decorated
    assert registry.register("made", lambda: Decorated)() is Decorated


def test_a_queue_of_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment still wins over it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUEUE_WORKERS", raising=False)
    (tmp_path / "queue.toml").write_text('url = "sqlite:///jobs.db"\nworkers = 4\n')
    queue = Queue.from_env(file="queue.toml")
    assert (queue.driver.name, queue.settings.workers) == ("sqlite", 4)
    monkeypatch.setenv("QUEUE_WORKERS", "7")
    assert Queue.from_env(file="queue.toml").settings.workers == 7
