"""The process-wide default queue, and dispatching on it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from asyncqueue.queue.producing import ManyOptions, OneOptions, spelled_out
from asyncqueue.queue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.job import Job
    from asyncqueue.queue.handle import JobHandle
    from asyncqueue.queue.producing import AsyncHandles, PlainHandles

R = TypeVar("R")

_lock = threading.Lock()
_default: Queue | None = None


def set_default(queue: Queue | None) -> Queue | None:
    """Make ``queue`` the default of this process; answers the former one.

    None means: build it from the environment when it is next asked for.

    Raises ``TypeError`` for anything else.
    """
    global _default
    if queue is not None and not isinstance(queue, Queue):
        raise TypeError(f"set_default() takes a Queue or None, got {queue!r}")
    with _lock:
        former, _default = _default, queue
    return former


def default_queue() -> Queue:
    """The default queue; built from the environment once if none was set."""
    global _default  # noqa: PLW0603
    with _lock:
        if _default is None:
            _default = Queue.from_env()
        return _default


@overload
async def dispatch(job: AsyncHandles[R], **options: Unpack[OneOptions]) -> JobHandle[R]: ...
@overload
async def dispatch(job: PlainHandles[R], **options: Unpack[OneOptions]) -> JobHandle[R]: ...
@overload
async def dispatch(job: Job, **options: Unpack[OneOptions]) -> JobHandle[Any]: ...
@spelled_out(OneOptions)
async def dispatch(job: Any, **options: Any) -> JobHandle[Any]:
    """``Queue.dispatch`` on the default queue."""
    handle: JobHandle[Any] = await default_queue().dispatch(job, **options)
    return handle


@spelled_out(ManyOptions)
async def dispatch_many(
    jobs: Iterable[Job], **options: Unpack[ManyOptions]
) -> list[JobHandle[Any]]:
    """``Queue.dispatch_many`` on the default queue."""
    return await default_queue().dispatch_many(jobs, **options)


@spelled_out(OneOptions)
async def dispatch_named(
    name: str, payload: dict[str, Any], queue: str | None = None, **options: Any
) -> JobHandle[Any]:
    """``Queue.dispatch_named`` on the default queue."""
    return await default_queue().dispatch_named(name, payload, queue, **options)
