"""Runs a duty of the worker beside its jobs: on the same event loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Duty = Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]


@contextlib.asynccontextmanager
async def beside(duty: Duty, on_end: Callable[[], object]) -> AsyncGenerator[None]:
    """Run ``duty(started, stopped)`` on this loop: until ``started()``, then beside the block.

    At the end of the block ``stopped`` is set and the duty is waited for. What it raises is
    raised here. ``on_end`` is called when the duty ends, be it by a fault.
    """
    started, stopped = asyncio.Event(), asyncio.Event()
    running = asyncio.ensure_future(duty(started.set, stopped))
    running.add_done_callback(lambda _: on_end())
    waiting = asyncio.ensure_future(started.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not running.done():
            yield
    finally:
        stopped.set()
        await running


@contextlib.asynccontextmanager
async def in_own_thread(
    duty: Duty, on_end: Callable[[], object], *, name: str, log: logging.Logger
) -> AsyncGenerator[None]:
    """As :func:`beside`, but in a thread with its own loop, which a blocked loop does not stop.

    What the duty raises before ``started()`` is raised here, what it raises later is logged.
    """
    life = _Life(duty, name, log)
    thread = threading.Thread(target=life.live, name=name, daemon=True)
    thread.start()
    try:
        await life.started
        life.ended.add_done_callback(lambda _: on_end())
        yield
    finally:
        life.stop()
        await asyncio.wait([life.ended])
        thread.join()  # It has nothing left to do, but may not have returned yet.


class _Life:
    """What the thread does, and what it tells the loop that started it."""

    def __init__(self, duty: Duty, name: str, log: logging.Logger) -> None:
        self._duty = duty
        self._name = name
        self._log = log
        self._home = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._stop_asked = False
        self.started: asyncio.Future[None] = self._home.create_future()
        self.ended: asyncio.Future[None] = self._home.create_future()

    def stop(self) -> None:
        self._stop_asked = True
        if self._loop is not None and self._stopped is not None:
            with contextlib.suppress(RuntimeError):  # It has ended by itself.
                self._loop.call_soon_threadsafe(self._stopped.set)

    def live(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:  # noqa: BLE001 - raised or logged at home
            failure = error
            self._at_home(lambda: self._fail(failure))
        except BaseException as error:  # noqa: BLE001 - a cancellation here is none at home
            text = repr(error)
            self._at_home(lambda: self._fail(RuntimeError(f"its thread ended by {text}")))
        finally:
            self._at_home(lambda: self.ended.done() or self.ended.set_result(None))

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        if self._stop_asked:  # Before there was anything to tell it to.
            return
        await self._duty(
            lambda: self._at_home(lambda: self.started.done() or self.started.set_result(None)),
            self._stopped,
        )

    def _fail(self, error: Exception) -> None:
        if self.started.done():
            self._log.error("The thread %s ended badly: %s", self._name, error)
        else:
            self.started.set_exception(error)

    def _at_home(self, callback: Callable[[], object]) -> None:
        # A loop that is closed under a worker nobody stopped: there is nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._home.call_soon_threadsafe(callback)
