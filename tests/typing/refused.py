"""What type checkers must refuse: each marked line is an error. Read by ``make types``, never run.

``type: ignore`` is for mypy, ``pyright: ignore`` for basedpyright; both report a mark that marks
nothing, so a line that one of them begins to accept fails the check.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from asyncqueue import (
    Context,
    Job,
    JobHandle,
    JobQueued,
    Queue,
    Scheduler,
    Settings,
    Worker,
    exponential,
    fixed,
    job,
    register,
    register_driver,
)


class SendWelcome(Job, queue="emails"):
    user_id: int
    name: str = ""

    async def handle(self, ctx: Context) -> int:
        return self.user_id


class Frozen(Job, kw_only=True):
    a: int
    b: str = "x"


class Unbuilt(Job):
    async def handle(self, ctx: Context) -> int: ...  # type: ignore[empty-body]


# Class keywords: unknown ones


class Typo(Job, quue="emails"): ...  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]


class Retries(Job, retries=3): ...  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]


class OptionOfDispatch(Job, at=5): ...  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]


# Class keywords: values of the wrong type


class WrongName(Job, name=5): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongQueue(Job, queue=5): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongAttempts(Job, max_attempts="3"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongRetries(Job, max_retries=1.5): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongTimeout(Job, timeout="45s"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongBackoff(Job, backoff="5s"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongBackoffList(Job, backoff=["1s", "5s"]): ...  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


def wait_for_nothing(job: Any) -> float:
    return 1.0


class WrongBackoffFunction(Job, backoff=wait_for_nothing): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongPriority(Job, priority="high"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongDelay(Job, delay="10s"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class NoDelay(Job, delay=None): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongRetryUntil(Job, retry_until=datetime.now(UTC)): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongExceptions(Job, max_exceptions=0.5): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongFlag(Job, fail_on_timeout="yes"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongUnique(Job, unique="key"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongUniqueFunction(Job, unique=lambda job: 5): ...  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongUniqueFor(Job, unique_for="1h"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongUniqueUntil(Job, unique_until="done"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongRetention(Job, retention="7d"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongMiddleware(Job, middleware=[5]): ...  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongReplace(Job, replace="yes"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class WrongInherited(SendWelcome, timeout="45s"): ...  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]


class UnknownInherited(SendWelcome, tiemout=45): ...  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue, reportGeneralTypeIssues]


# Construction

SendWelcome()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SendWelcome("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SendWelcome(user_id="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SendWelcome(1, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
SendWelcome(1, "x", 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SendWelcome(1, nmae="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SendWelcome(1).email  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
Frozen(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Frozen(b="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


# Jobs made from functions


@job(queue="emails")
async def send(ctx: Context, user_id: int, email: str = "") -> str:
    return f"{ctx.job_id} {user_id} {email}"


send()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
send("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send(1, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
send(user_id=1, nmae="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


@job(quue="emails")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
async def typo(ctx: Context) -> None: ...


@job(timeout="45s")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
async def wrong_timeout(ctx: Context) -> None: ...


@job  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUntypedFunctionDecorator]
async def no_context(user_id: int) -> None: ...


job(5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


# Dispatch


async def dispatching(queue: Queue) -> None:
    await queue.dispatch(None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(Unbuilt)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch({"user_id": 1})  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(send)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), quue="vip")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await queue.dispatch(SendWelcome(1), queue=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), delay="5s")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), at="tomorrow")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), priority="high")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), id=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await queue.dispatch(SendWelcome(1), backoff="5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    queue.dispatch(SendWelcome(1))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
    await queue.dispatch_many([SendWelcome(1), None])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await queue.dispatch_many(SendWelcome(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await queue.dispatch_named(SendWelcome, {})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await queue.dispatch_named("send_welcome", [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(await queue.dispatch(SendWelcome(1)), JobHandle[str])  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]
    assert_type(await queue.dispatch(send(1)), JobHandle[int])  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]
    handle = await queue.dispatch(SendWelcome(1))
    await handle.result(timeout="5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (await handle.result()).upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    handle.status_now()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# Queue, worker, settings


async def operating(queue: Queue) -> None:
    Queue(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Queue("memory://", setings=Settings())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Queue("memory://", signing_keys=[5])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await queue.size()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await queue.jobs(state=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    queue.on(str, print)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]

    queue.on(JobQueued, lambda event: event.duration)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownLambdaType, reportUnknownMemberType]
    Worker(queue, concurency=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Worker(queue, timeout="5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Worker(queue, "emails", concurrency="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Settings(timout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Settings(timeout="5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Settings().timeout = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


async def scheduling(queue: Queue, scheduler: Scheduler) -> None:
    Scheduler("sqlite:///queue.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scheduler.cron("a", "@daily")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    scheduler.cron("a", "@daily", SendWelcome)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scheduler.cron("a", "@daily", 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scheduler.cron("a", "@daily", SendWelcome(1), timezone=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scheduler.cron("a", "@daily", SendWelcome(1), "scheduled")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    scheduler.every("a", "30s", SendWelcome(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scheduler.entries()[0].next_due.hour  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    Worker(queue, scheduler=queue)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def handling(ctx: Context) -> None:
    ctx.job_nmae  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await ctx.progress("half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.extend("1m")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.get(int).upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# Curves, registries, drivers

exponential("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
exponential(1, 300, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
fixed(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fixed(timedelta(seconds=1))("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
register("send", 5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
register("send", lambda one, two: SendWelcome(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportUnknownLambdaType]
register_driver("kafka", lambda: None)  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
register_driver("kafka", lambda settings: None)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
