"""How jobs of one class are run: worked out once for each class, used for every job."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from asyncqueue.execution.settlement import Budget
from asyncqueue.execution.whereabouts import noting_thread
from asyncqueue.services import inject, injected_parameters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncqueue.backoff import Backoff
    from asyncqueue.context import Context
    from asyncqueue.options import JobOptions
    from asyncqueue.services import Services

    CallNext = Callable[[], Awaitable[Any]]
    Middleware = Callable[[Context, CallNext], Awaitable[Any]]
    Call = Callable[[Any, Context], Awaitable[Any]]


class Defaults:
    """What the worker says where a job class says nothing. Seconds everywhere."""

    def __init__(
        self,
        *,
        timeout: float,
        max_attempts: int,
        backoff: Backoff,
        retention: float,
    ) -> None:
        self.timeout = timeout
        self.max_attempts = max_attempts
        self.backoff = backoff
        self.retention = retention


class Plan:
    """How the jobs of one class are run by one worker."""

    def __init__(
        self,
        cls: Any,
        defaults: Defaults,
        services: Services,
        middleware: Sequence[Middleware],
        handler: Callable[[Any], Any] | None,
    ) -> None:
        options: JobOptions = cls.__job_options__
        handle = getattr(cls, "handle", None)
        self.options = options
        self.plain = not inspect.iscoroutinefunction(handle)
        """Whether it runs in a thread, where nothing can interrupt it."""
        self.timeout = options.timeout or defaults.timeout
        self.backoff = options.backoff or defaults.backoff
        self.default_backoff = defaults.backoff
        self.retention = defaults.retention if options.retention is None else options.retention
        self.max_attempts = options.max_attempts or defaults.max_attempts
        self._budgets: dict[int | None, Budget] = {}
        self.has_failed_hook = hasattr(cls, "failed")
        self.has_should_retry = hasattr(cls, "should_retry")
        if self.plain and handler is not None:
            self.plain = not inspect.iscoroutinefunction(handler)
            call = _call_handler(handler, plain=self.plain)
        elif handle is None:
            call = _no_handle(cls)
        else:
            call = _call_handle(handle, services, plain=self.plain)
        self.call: Call = _wrap(call, (*middleware, *options.middleware))

    def budget(self, max_attempts: int | None) -> Budget:
        """The budget of a job that was stored with this number of attempts."""
        budget = self._budgets.get(max_attempts)
        if budget is None:
            options = self.options
            budget = self._budgets[max_attempts] = Budget(
                max_attempts or self.max_attempts,
                options.retry_until,
                options.max_exceptions,
                options.fail_on_timeout,
            )
        return budget


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run a plain function in a thread. Cancelled, it leaves the thread to end on its own."""
    result = await anyio.to_thread.run_sync(
        noting_thread(lambda: function(*args)),
        abandon_on_cancel=True,
        # The slots of the worker are the bound; a second one here could only deadlock it. Only
        # threads that were left behind by a timeout or a cancellation come on top.
        limiter=anyio.CapacityLimiter(math.inf),
    )
    return await result if inspect.isawaitable(result) else result


def _call_handle(handle: Any, services: Services, *, plain: bool) -> Call:
    parameters = injected_parameters(handle)
    if plain:

        async def call_in_thread(job: Any, ctx: Context) -> Any:
            arguments = inject(parameters, services)
            return await in_thread(lambda: job.handle(ctx, **arguments))

        return call_in_thread
    if not parameters:
        return lambda job, ctx: job.handle(ctx)
    return lambda job, ctx: job.handle(ctx, **inject(parameters, services))


def _call_handler(handler: Callable[[Any], Any], *, plain: bool) -> Call:
    if plain:
        return lambda job, _ctx: in_thread(handler, job)
    return lambda job, _ctx: handler(job)


def _no_handle(cls: Any) -> Call:
    async def refuse(_job: Any, _ctx: Context) -> Any:
        raise TypeError(
            f"{cls.__job_name__} has no handle method; define one, or give Worker(handler=...)"
        )

    return refuse


def _wrap(call: Call, layers: Sequence[Middleware]) -> Call:
    """``call`` inside its middleware; the first listed is the outermost."""
    for layer in reversed(layers):
        call = _layer(layer, call)
    return call


def _layer(layer: Middleware, inner: Call) -> Call:
    async def around(job: Any, ctx: Context) -> Any:
        return await layer(ctx, lambda: inner(job, ctx))

    return around
