"""What a context asks of the run that it belongs to, and that of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from asyncqueue.batch import BatchInfo
    from asyncqueue.clock import Clock
    from asyncqueue.interruption import Cancellation, Cause
    from asyncqueue.links import Cause as Failure
    from asyncqueue.record import Claim, Permit
    from asyncqueue.services import Services
    from asyncqueue.trace import Trace


class Permits(Protocol):
    """Permits that the store keeps for all workers: so many of one key are taken at a time."""

    async def acquire(self, key: str, holder: str, most: int, ttl: float) -> float:
        """Take one of ``most`` for ``ttl`` seconds: 0.0, or seconds until one expires."""
        ...

    async def release(self, key: str, holder: str | None = None) -> int:
        """Give back the permit of a holder, or all of a key; answers how many there were."""
        ...

    async def holders(self, key: str) -> list[Permit]:
        """Those that are taken, the first to expire first."""
        ...


class Host(Protocol):
    """The run that answers for what a context is asked; ``deadline`` is in monotonic seconds."""

    claim: Claim
    job: Any
    deadline: float
    trace: Trace | None
    cancelled: Cancellation

    @property
    def cause(self) -> Cause | None:
        """Why the job is being interrupted."""
        ...

    @property
    def max_attempts(self) -> int:
        """How many runs the job has in all."""
        ...

    @property
    def clock(self) -> Clock:
        """The store's clock."""
        ...

    @property
    def services(self) -> Services:
        """What handlers may ask for."""
        ...

    @property
    def permits(self) -> Permits:
        """The permits of the store."""
        ...

    async def progress(self, percent: float, text: str) -> None:
        """Store the progress of the job."""
        ...

    async def more_time(self, seconds: float) -> None:
        """Put the deadline off and renew the lease."""
        ...

    async def dispatch(self, job: Any, options: dict[str, Any]) -> Any:
        """Dispatch another job on the same queue object."""
        ...

    @property
    def failure(self) -> Failure | None:
        """The failure that the job was dispatched for."""
        ...

    @property
    def batch_id(self) -> str | None:
        """The id of the batch of the job."""
        ...

    async def batch(self) -> BatchInfo | None:
        """The batch of the job."""
        ...

    async def add_to_batch(self, jobs: tuple[Any, ...]) -> None:
        """Dispatch more members of its batch."""
        ...

    def link(self, jobs: tuple[Any, ...], *, first: bool) -> None:
        """Put jobs at the beginning or at the end of what comes after this one."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A transaction of the store that ends with the job's completion."""
        ...
