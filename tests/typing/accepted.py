"""What type checkers must accept. Read by ``make types``, never run."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from asyncqueue import (
    Backoff,
    Context,
    Driver,
    Job,
    JobHandle,
    JobInfo,
    JobQueued,
    Priority,
    Queue,
    Registry,
    ScheduleEntry,
    Scheduler,
    Settings,
    Worker,
    current_trace,
    default_queue,
    dispatch,
    exponential,
    fixed,
    job,
    linear,
    register,
    register_driver,
    set_default,
    use_trace,
)


class Mailer:
    def send(self, to: str) -> int:
        return len(to)


# Class keywords


class Minimal(Job):
    async def handle(self, ctx: Context) -> None: ...


def pick_queue(job: Any) -> str:
    return f"{job.user_id}"


def wait(job: Any, attempt: int, error: Exception) -> float:
    return 1.0


async def layer(ctx: Context, call_next: Any) -> Any:
    return await call_next()


class SendWelcome(
    Job,
    name="send_welcome",
    queue="emails",
    max_attempts=5,
    timeout=45,
    backoff=[1, 5, 30],
    priority=Priority.HIGH,
    delay=10,
    retry_until=3600,
    max_exceptions=3,
    fail_on_timeout=True,
    unique=True,
    unique_for=60,
    unique_until="processing",
    retention=0,
    middleware=[layer],
    replace=True,
):
    user_id: int
    name: str = ""

    async def handle(self, ctx: Context) -> int:
        return self.user_id

    async def failed(self, ctx: Context, error: BaseException) -> None: ...

    def should_retry(self, error: Exception) -> bool:
        return isinstance(error, OSError)


class Callables(
    Job,
    queue=pick_queue,
    backoff=wait,
    priority=lambda job: 3,
    delay=lambda job: timedelta(seconds=1),
    unique=lambda job: "key",
):
    pass


class Durations(
    Job,
    timeout=timedelta(minutes=1),
    backoff=timedelta(seconds=5),
    delay=timedelta(hours=1),
    retry_until=timedelta(days=1),
    unique_for=timedelta(minutes=1),
    retention=timedelta(days=7),
):
    pass


class Curve(Job, max_retries=2, timeout=math.inf, backoff=exponential(2, 60, jitter=True)):
    pass


class MixedDelays(Job, backoff=(1, 2.5, timedelta(minutes=1)), priority=-5):
    pass


class WorkersOwn(Job, max_attempts=None, timeout=None, backoff=None, queue=None, priority=None):
    pass


class Frozen(Job, frozen=True, kw_only=True, order=True, rename="camel", omit_defaults=True):
    a: int
    b: str = "x"


class Inherits(SendWelcome, queue="others", max_retries=1):
    extra: list[int] = []  # noqa: RUF012 - msgspec copies it


# Construction

SendWelcome(1)
SendWelcome(1, "x")
SendWelcome(user_id=1, name="x")
assert_type(SendWelcome(1).user_id, int)
assert_type(SendWelcome(1).name, str)
Inherits(1, "x", [1])
Inherits(user_id=1, extra=[2])
Frozen(a=1)
Minimal()


# Jobs made from functions


@job(queue="emails", name="send_welcome_email", max_attempts=5, timeout=timedelta(minutes=1))
async def send(ctx: Context, user_id: int, email: str = "", *, copies: int = 1) -> str:
    return f"{ctx.job_id} {user_id} {email} {copies}"


@job
async def bare(ctx: Context, user_id: int) -> list[int]:
    return [user_id]


@job
def plain(ctx: Context, path: str) -> bytes:
    return path.encode()


@job(backoff=[1, 5], middleware=[layer])
def plain_with_options(ctx: Context) -> None: ...


send(1)
send(1, "a@b", copies=2)
send(user_id=1, email="a@b")
bare(user_id=1)
plain("x")
plain_with_options()


# Dispatch: the handle knows what the job returns


class Returns(Job):
    def handle(self, ctx: Context) -> dict[str, int]:
        return {}


class Injected(Job):
    async def handle(self, ctx: Context, mailer: Mailer, *, limit: int = 1) -> float:
        return mailer.send("x") / limit


class NoHandle(Job):
    user_id: int


async def dispatching(queue: Queue) -> None:
    assert_type(await queue.dispatch(SendWelcome(1)), JobHandle[int])
    assert_type(await queue.dispatch(Minimal()), JobHandle[None])
    assert_type(await queue.dispatch(Returns()), JobHandle[dict[str, int]])
    assert_type(await queue.dispatch(Injected()), JobHandle[float])
    assert_type(await queue.dispatch(NoHandle(1)), JobHandle[Any])
    assert_type(await queue.dispatch(Inherits(1)), JobHandle[int])
    assert_type(await queue.dispatch(send(1)), JobHandle[str])
    assert_type(await queue.dispatch(bare(1)), JobHandle[list[int]])
    assert_type(await queue.dispatch(plain("x")), JobHandle[bytes])
    assert_type(await queue.dispatch(plain_with_options()), JobHandle[None])
    assert_type(await dispatch(SendWelcome(1)), JobHandle[int])

    handle = await queue.dispatch(
        SendWelcome(1),
        queue="vip",
        delay=timedelta(minutes=5),
        priority=Priority.LOW,
        id="welcome-1",
        max_attempts=2,
        timeout=5,
        backoff=[5, 30, 120],
        within=object(),
        after_commit=True,
    )
    assert_type(handle.id, str)
    assert_type(handle.duplicate, bool)
    assert_type(await handle.result(timeout=5), int)
    assert_type(await handle.status(), JobInfo)
    assert_type(await handle.cancel(), bool)
    await queue.dispatch(SendWelcome(1), at=datetime.now(UTC), backoff=linear(2))

    handles = await queue.dispatch_many([SendWelcome(1), Minimal(), send(1)], queue="vip")
    assert_type(handles, list[JobHandle[Any]])
    await queue.dispatch_named("send_welcome", {"user_id": 1}, queue="vip", delay=5)


# Queue, worker, settings


async def operating() -> None:
    queue = Queue("sqlite:///queue.db", settings=Settings(workers=4), services=[Mailer()])
    async with queue:
        assert_type(await queue.size("emails"), int)
        assert_type(await queue.clear("emails"), int)
        assert_type(await queue.cancel("id"), bool)
        assert_type(await queue.paused(), list[str])
        page = await queue.jobs(queue="emails", state="failed", limit=5)
        assert_type(page.items, list[JobInfo])
        assert_type(page.next, str | None)
        stop = queue.on(JobQueued, lambda event: print(event.delay))
        stop()
        worker = Worker(
            queue,
            {"emails": 4, "exports": 1},
            timeout=timedelta(minutes=1),
            backoff=fixed(5),
            max_attempts=2,
        )
        await worker.run()
        await Worker(queue, ["high", "default"], concurrency=10).run()
    set_default(Queue.from_env())
    assert_type(default_queue(), Queue)
    settings = Settings.from_env(".env", file="queue.yaml", timeout=5)
    assert_type(settings.retry_delay, float | None)
    assert_type(settings.backoff, Backoff)
    assert_type(Settings.from_file("queue.toml").driver_url(), str)


# Schedules


def make_job() -> SendWelcome:
    return SendWelcome(1)


async def make_job_later() -> Job:
    return Minimal()


async def scheduling(queue: Queue) -> None:
    scheduler = Scheduler(queue)
    scheduler.cron("a", "0 9 * * 1-5", SendWelcome(1))
    scheduler.cron("b", "@daily", make_job, timezone="Europe/Berlin", queue="x", overlap=False)
    scheduler.cron("c", "@every 5m", make_job_later, timezone=UTC)
    scheduler.cron("d", "@hourly", Minimal)
    scheduler.cron("e", "@hourly", lambda: SendWelcome(1))
    scheduler.cron("f", "@hourly", send(1))
    scheduler.every("g", 30, Minimal())
    scheduler.every("h", timedelta(minutes=5), make_job, queue="recurring")
    assert_type(scheduler.entries(), list[ScheduleEntry])
    assert_type(scheduler.entries()[0].next_due, datetime | None)
    assert_type(scheduler.upcoming("a", 3), list[datetime])
    async with scheduler:
        assert_type(scheduler.running, bool)
        await scheduler.stop(timedelta(seconds=5))
    await scheduler.run()
    Worker(queue, scheduler=scheduler)


# In a handler


async def handling(ctx: Context) -> None:
    assert_type(ctx.get(Mailer), Mailer)
    assert_type(ctx.attempt, int)
    assert_type(ctx.remaining, float)
    assert_type(ctx.deadline, datetime | None)
    await ctx.progress(1, 10, "first")
    await ctx.extend(timedelta(minutes=1))
    await ctx.dispatch(SendWelcome(1), delay=5)
    if ctx.cancelled.is_set():
        ctx.logger.info("interrupted: %s", ctx.cause)
    with use_trace(current_trace()):
        await ctx.cancelled


# Registries and drivers


def build_driver(settings: Settings) -> Driver:
    raise NotImplementedError


def build_job(payload: dict[str, Any]) -> SendWelcome:
    return SendWelcome(**payload)


def registering() -> None:
    register("send", SendWelcome)
    assert_type(register(SendWelcome), type[SendWelcome])
    register("made", build_job, replace=True)
    register("template", lambda: SendWelcome)
    registry = Registry()
    registry.register("send", SendWelcome)
    Queue("memory://", registry=registry)
    Queue("memory://", signing_keys=["new", b"old"], encryption_keys=(b"k" * 32,))
    register_driver("kafka", build_driver, replace=True)
