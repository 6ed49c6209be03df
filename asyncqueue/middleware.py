"""Middleware that comes with asyncqueue. What it counts is kept by the store, for all workers."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.execution.outcome import Fail, Retry, Snooze
from asyncqueue.ids import new_id

if TYPE_CHECKING:
    from asyncqueue.context import Context

CallNext = Callable[[], Awaitable[Any]]
Key = str | Callable[[Any], object]
"""A text, or a function of the job that gives one."""

LONGEST: Final = 24 * 3600.0
"""Seconds that an overlap is prevented at most for a job without a timeout."""
SPARE: Final = 30.0
"""Seconds beyond its timeout that a job may take to unwind."""


class WithoutOverlapping:
    """One job with this key at a time, of its kind or, with ``shared``, of all kinds.

    Another one is released, its attempt given back, and looked at again in ``release_after``
    seconds (default 1); with ``drop`` it is done without having run. The key is free when the job
    ends, however it does, and ``expires`` seconds after its start at the latest (default: the
    job's timeout and half a minute), so that a worker that died holds nobody up for ever. ``key``
    is a text or a function of the job. Raises ``TypeError`` or ``ValueError`` for what cannot be
    meant.
    """

    def __init__(
        self,
        key: Key,
        *,
        release_after: Duration = 1.0,
        drop: bool = False,
        expires: Duration | None = None,
        shared: bool = False,
    ) -> None:
        self._key = _checked_key(key)
        self._release_after = _positive(release_after, "release_after")
        self._drop = drop
        self._expires = None if expires is None else _positive(expires, "expires")
        self._shared = shared

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run the job if nobody else holds its key."""
        scope = "" if self._shared else ctx.job_name
        key = f"overlap:{scope}:{_key_of(self._key, ctx)}"
        if await ctx.permits.acquire(key, ctx.job_id, 1, self._ttl(ctx)) > 0:
            if self._drop:
                return None
            raise Snooze(self._release_after)
        try:
            return await call_next()
        finally:
            if ctx.cause != "lease_lost":  # Then it is another attempt that holds it.
                await ctx.permits.release(key, ctx.job_id)

    def _ttl(self, ctx: Context) -> float:
        if self._expires is not None:
            return self._expires
        return ctx.remaining + SPARE if ctx.remaining < math.inf else LONGEST


class RateLimited:
    """At most ``n`` starts of jobs with this key in any ``per`` seconds.

    One too many is released, its attempt given back, until there is room; with ``drop`` it is
    done without having run. The class keyword ``limit=`` does the same without claiming the job.
    ``key`` is a text or a function of the job. Raises ``TypeError`` or ``ValueError`` for a count
    below 1, and for a time that is no positive number of seconds or timedelta.
    """

    def __init__(self, key: Key, n: int, per: Duration, *, drop: bool = False) -> None:
        self._key = _checked_key(key)
        self._n = _count(n)
        self._per = _positive(per, "per")
        self._drop = drop

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run the job if there is room for its start."""
        key = f"starts:{_key_of(self._key, ctx)}"
        wait = await ctx.permits.acquire(key, new_id(), self._n, self._per)
        if wait <= 0:
            return await call_next()
        if self._drop:
            return None
        raise Snooze(wait)


class ThrottlesExceptions:
    """After ``n`` errors within ``per`` seconds nothing of the kind runs for ``per`` seconds.

    Errors go their usual way; jobs that come while it is closed are released until it is over,
    their attempts given back. One success forgets all errors. ``key`` (default: the kind) says
    which jobs suffer together, ``only`` which errors count; ``Retry``, ``Snooze`` and ``Fail``
    never do. Raises ``TypeError`` or ``ValueError`` for what cannot be meant.
    """

    def __init__(
        self,
        n: int,
        per: Duration,
        *,
        key: Key | None = None,
        only: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    ) -> None:
        self._n = _count(n)
        self._per = _positive(per, "per")
        self._key = None if key is None else _checked_key(key)
        self._only = only

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run the job unless too many have failed lately."""
        key = ctx.job_name if self._key is None else _key_of(self._key, ctx)
        errors, closed = f"errors:{key}", f"closed:{key}"
        for permit in await ctx.permits.holders(closed):
            raise Snooze(permit.expires_in or self._per)
        try:
            result = await call_next()
        except (Retry, Snooze, Fail):
            raise
        except self._only:
            await ctx.permits.acquire(errors, new_id(), self._n, self._per)
            if len(await ctx.permits.holders(errors)) >= self._n:
                await ctx.permits.acquire(closed, key, 1, self._per)
                await ctx.permits.release(errors)
            raise
        await ctx.permits.release(errors)
        await ctx.permits.release(closed)
        return result


class SkipIfBatchCancelled:
    """A job whose batch was cancelled while it waited for its turn is done without having run.

    Jobs that still wait are skipped anyway; this is for later attempts of those that had begun.
    """

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run the job unless its batch is cancelled."""
        batch = await ctx.batch()
        if batch is not None and batch.cancelled:
            return None
        return await call_next()


class FailOn:
    """Errors of these types are final: no further attempt, whatever the job allows.

    Raises ``TypeError`` for anything but types of errors.
    """

    def __init__(self, *types: type[BaseException]) -> None:
        if not types or not all(isinstance(kind, type) for kind in types):
            raise TypeError(f"FailOn takes types of errors, got {types!r}")
        self._types = types

    async def __call__(self, ctx: Context, call_next: CallNext) -> Any:
        """Run the job."""
        try:
            return await call_next()
        except self._types as error:
            raise Fail(error) from error


def _key_of(key: Key, ctx: Context) -> str:
    value = key(ctx.job) if callable(key) else key
    return str(value)


def _checked_key(key: Any) -> Key:
    if not callable(key) and (not isinstance(key, str) or not key):
        raise TypeError(f"key takes a text or a function of the job, got {key!r}")
    return key  # type: ignore[no-any-return]


def _count(n: Any) -> int:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a whole number from 1 up, got {n!r}")
    return n


def _positive(value: Duration, name: str) -> float:
    seconds = to_finite_seconds(value, name)
    if seconds <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return seconds
