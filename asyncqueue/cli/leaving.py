"""Running a worker's event loop and ending its process, whatever its jobs left behind."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from asyncqueue.cli.errors import wrong_use
from asyncqueue.cli.signals import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LoopName = Literal["auto", "asyncio", "uvloop"]
UNWINDING: Final = 0.5
"""Seconds for what jobs left behind, coroutines and then threads, to end by itself."""


def loop_factory(name: LoopName) -> tuple[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop to use, with its name. ``auto`` is uvloop where that can be imported."""
    if name != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 - optional
        except ImportError:
            if name == "uvloop":
                raise wrong_use(
                    "uvloop is not installed.", 'pip install "asyncqueue[uvloop]"'
                ) from None
        else:
            return "uvloop", uvloop.new_event_loop
    return "asyncio", asyncio.new_event_loop


def run(
    main: Callable[[], Coroutine[Any, Any, int]],
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> int:
    """Run ``main`` on a new event loop; answers its exit code.

    Unlike ``asyncio.run`` it does not wait for handlers that ignore their cancellation, nor for
    threads.
    """
    loop = new_loop()
    threads = ThreadPoolExecutor(thread_name_prefix="asyncqueue")
    loop.set_default_executor(threads)
    asyncio.set_event_loop(loop)
    code = 1
    try:
        code = loop.run_until_complete(main())
    finally:
        SIGNALS.leave(code)
        loop.run_until_complete(_unwind())
        threads.shutdown(wait=False, cancel_futures=True)
    return code


def leave(code: int) -> NoReturn:
    """End the process past threads that do not end, but do what is due to files and logs.

    The interpreter's own end would wait for such threads, and before it is over it gives the
    signals back their power to kill: the exit code of a clean stop could be a signal's.
    """
    give_up_at = time.monotonic() + UNWINDING
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.main_thread():
            thread.join(max(give_up_at - time.monotonic(), 0.0))
    # Logging, coverage and others count on these.
    atexit._run_exitfuncs()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        # Nobody reads it any more, where it fails.
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


async def _unwind() -> None:
    """Cancel what still runs, and give it a moment."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for one in left:
        one.cancel()
    if left:
        await asyncio.wait(left, timeout=UNWINDING)
    await asyncio.get_running_loop().shutdown_asyncgens()
