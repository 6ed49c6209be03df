"""The queue: a handle on one store of jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import anyio
import msgspec

from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.registry import driver_from
from asyncqueue.durations import Duration, to_finite_seconds
from asyncqueue.errors import AsyncQueueError
from asyncqueue.execution.skipping import Skipping
from asyncqueue.forks import tell_of_forks
from asyncqueue.listeners import Listeners
from asyncqueue.options import check_middleware
from asyncqueue.queue.build import Builder
from asyncqueue.queue.dispatcher import Dispatcher
from asyncqueue.queue.failed import FailedStore
from asyncqueue.queue.inline import InlineRunner
from asyncqueue.queue.linker import Linker
from asyncqueue.queue.linking import Linking
from asyncqueue.registry import Registry, default_registry
from asyncqueue.services import check_services
from asyncqueue.settings import Settings
from asyncqueue.settings_checks import check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.settings_sources import StrPath

LISTENERS_PATIENCE: Final = 5.0
"""Seconds that closing waits for listeners to hear what was sent."""


class Attached(Protocol):
    """A worker of this process, as its queue sees it."""

    async def stop(self, timeout: float | None = None) -> None:
        """Stop and wait."""
        ...

    def inside(self) -> bool:
        """Whether the caller runs inside one of its jobs."""
        ...

    async def finish(self, timeout: float) -> None:
        """Take nothing new, let what runs end for this long, then stop."""
        ...


class Queue(Linking):
    """A handle on one store of jobs.

    ``url`` is a URL such as ``sqlite:///queue.db``, or an open or unopened driver; without it
    the settings decide. Constructing does no I/O: the queue opens itself on first use, or in
    ``async with``. It closes what it opened from a URL, and nothing else; after that every call
    raises :class:`~asyncqueue.errors.QueueClosed`.

    With ``signing_keys`` (any text or bytes) nothing is run that was not signed with one of them;
    with ``encryption_keys`` (32 bytes each, or those in hex or base64) payloads and results are
    encrypted in the store. The first key makes, all of them read. Without, or empty, those of the
    settings count.

    Raises :class:`~asyncqueue.errors.UnknownDriver` and ``ConfigError`` for a URL that cannot
    be understood. Every call that needs the store raises ``DriverUnavailable`` within a bounded
    time when it cannot be reached, with nothing half-stored.
    """

    def __init__(  # noqa: PLR0913 - what a queue is made of, all but the first by name
        self,
        url: str | Driver | None = None,
        *,
        settings: Settings | None = None,
        registry: Registry | None = None,
        services: Sequence[Any] | Mapping[str, Any] = (),
        middleware: Sequence[Callable[..., Any]] = (),
        signing_keys: Sequence[str | bytes] = (),
        encryption_keys: Sequence[str | bytes] = (),
        clock: Clock | None = None,
    ) -> None:
        settings = _with_keys(settings, signing_keys, encryption_keys)
        given = isinstance(url, Driver)
        super().__init__(
            url if given else driver_from(settings if url is None else url, settings),
            settings,
            _checked(registry),
            Listeners(),
            owns_driver=not given,
        )
        self.services = check_services(services)
        self.middleware = check_middleware(middleware)
        if clock is not None:
            self.driver.clock = clock
        self.failed = FailedStore(self.ready, self.ready_to_write, self.seal)
        self._builder = Builder(self.settings, self.driver)
        self._linker = Linker(self._builder, self.settings, self.driver)
        self.skipping = Skipping(
            self.driver, self.listeners, settings.retention, settings.max_attempts
        )
        self._dispatcher = Dispatcher(self.driver)
        self._inline = InlineRunner.bind(self)
        self._workers: list[Attached] = []
        self._closing: asyncio.Future[None] | None = None
        tell_of_forks(self)

    @classmethod
    def from_env(
        cls, env_file: StrPath | None = ".env", *, file: StrPath | None = None, **options: Any
    ) -> Queue:
        """A queue as the environment, ``env_file`` and ``file`` (YAML or TOML) describe it.

        In this order, as for :meth:`Settings.from_env`; ``options`` are those of ``Queue``.
        """
        return cls(settings=Settings.from_env(env_file, file=file), **options)

    async def close(self) -> None:
        """Stop workers of this process, store what was dispatched, close. Harmless twice.

        It goes on to its end even if the caller is cancelled meanwhile.
        Raises :class:`~asyncqueue.errors.AsyncQueueError` inside one of its own jobs or
        listeners, which it would have to wait for.
        """
        self._refuse_inside()
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for worker in tuple(self._workers):
            await worker.stop()
        self._closed = True
        self._open = False
        try:
            await self._dispatcher.drained()
            await self.listeners.drained(LISTENERS_PATIENCE)
            if self._inline is not None:
                await self._inline.close()
        finally:
            await self._close_driver()

    def _refuse_inside(self) -> None:
        if self._closed:
            return
        if self.listeners.hearing() or any(worker.inside() for worker in self._workers):
            raise AsyncQueueError(
                "A job or a listener cannot close the queue that it belongs to. Stop the worker "
                "instead (await worker.stop()), and close the queue where it was opened."
            )

    def forked(self) -> None:
        """This is a child process: what is under way is under way in its parent only."""
        self._opening = None
        self._dispatcher = Dispatcher(self.driver)
        self._closing = None
        if self._inline is not None:
            self._inline.forked()
        self._workers = []
        self.listeners.forget_events()

    async def shutdown(self, timeout: Duration) -> None:
        """Wait for work in flight in this process, ``timeout`` seconds at most; then close."""
        if self._closed:
            return
        self._refuse_inside()
        seconds = max(to_finite_seconds(timeout, "timeout"), 0.0)
        await asyncio.gather(*(worker.finish(seconds) for worker in tuple(self._workers)))
        await self.close()

    def attach(self, worker: Attached) -> None:
        """A worker on this queue starts: it ends before the queue closes."""
        if worker not in self._workers:
            self._workers.append(worker)

    def detach(self, worker: Attached) -> None:
        """A worker on this queue ended."""
        if worker in self._workers:
            self._workers.remove(worker)

    async def __aenter__(self) -> Self:
        await self.ready()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The shield keeps an enclosing cancel scope from cancelling this wait over and over.
        with anyio.CancelScope(shield=True):
            await self.close()

    async def ping(self) -> None:
        """Raise :class:`~asyncqueue.errors.DriverUnavailable` with the reason, or return."""
        await (await self.ready()).ping()

    def __repr__(self) -> str:
        return f"<Queue on {self.driver.name}{' closed' if self._closed else ''}>"


def _checked(registry: Registry | None) -> Registry:
    if registry is None:
        return default_registry
    if not isinstance(registry, Registry):
        raise TypeError(f"registry must be a Registry(), got {registry!r}")
    return registry


def _with_keys(
    settings: Settings | None,
    signing_keys: Sequence[str | bytes],
    encryption_keys: Sequence[str | bytes],
) -> Settings:
    settings = Settings() if settings is None else settings
    if not isinstance(settings, Settings):
        raise TypeError(f"settings must be a Settings(…), got {settings!r}")
    given = {"signing_keys": signing_keys, "encryption_keys": encryption_keys}
    keys = {name: check(name, keys, name) for name, keys in given.items() if keys}
    return msgspec.structs.replace(settings, **keys) if keys else settings
