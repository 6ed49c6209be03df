"""An event loop on virtual time, in which parts of a program can die, or stand still."""

from __future__ import annotations

import asyncio
import heapq
import math
import threading
from collections import deque
from contextvars import Context as Variables
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

MOST_STEPS: Final = 5_000_000
"""Steps of a loop after which it counts as one that never ends."""
PATIENCE: Final = 30.0
"""Real seconds that a loop waits for a thread."""
MOST_CLOSINGS: Final = 100
"""How often a coroutine is told to close that awaits something more each time."""


class Process:
    """What would be a process of its own: everything that was started in its context.

    ``dead``: none of it ever runs again, without any notice, as after ``kill -9``. ``frozen``: what
    is to run waits until it is thawed, as after ``SIGSTOP``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.stashed: list[asyncio.Handle] = []

    def __repr__(self) -> str:
        return f"<Process {self.name}>"


_CONTEXT: Final = "_context"
_SCHEDULED: Final = "_scheduled"
"""Of the handles of asyncio, which subclasses of its loop have to know."""
PROCESS: Final[ContextVar[Process | None]] = ContextVar("asyncqueue_lab_process", default=None)
_NOBODY: Final = Variables()
HANDLING: Final[ContextVar[str | None]] = ContextVar("asyncqueue_lab_handling", default=None)
"""The id of the job whose handler it is that runs."""


class TimeUpError(AssertionError):
    """The loop reached the end of its virtual time, or of its steps."""


class _Task(asyncio.Task[Any]):
    """Sets of these have the same order in every run."""

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        loop: VirtualLoop = kwargs["loop"]
        self.number = loop.next_number()
        super().__init__(*args, **kwargs)


class _Future(asyncio.Future[Any]):
    """As above."""

    def __init__(self, *, loop: VirtualLoop) -> None:
        self.number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class VirtualLoop(asyncio.BaseEventLoop):
    """Time passes only when nothing is left to do, and then at once.

    What is ready at a moment runs in an order drawn from ``rng``: each process keeps its own order,
    as it does on a real loop; with ``mixed`` only each asyncio task does. There is no input or
    output: sockets and subprocesses raise ``NotImplementedError``. Threads work: time stands
    still until they are done.
    """

    if TYPE_CHECKING:  # Of the base class, for those who subclass it.
        _ready: deque[asyncio.Handle]
        _scheduled: list[asyncio.TimerHandle]
        _stopping: bool

    def __init__(self, rng: random.Random, *, limit: float, mixed: bool = False) -> None:
        super().__init__()
        self.steps = 0
        self.on_handler_step: Callable[[Process], None] = lambda _: None
        """Called before each step of a handler."""
        self._rng = rng
        self._limit = limit
        self._mixed = mixed
        self._now = 0.0
        self._numbers = 0
        self._executing = 0
        self._dropped: list[asyncio.Handle] = []
        self._woken = threading.Event()
        self.set_task_factory(_make_task)  # pyright: ignore[reportArgumentType]

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def next_number(self) -> int:
        """A number for something that needs an order of its own."""
        self._numbers += 1
        return self._numbers

    def create_future(self) -> asyncio.Future[Any]:
        """A future that has the same place in a set in every run."""
        return _Future(loop=self)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """As on any loop; time stands still until it is done."""
        self._executing += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._executed)
        return future

    def _executed(self, _: object) -> None:
        self._executing -= 1

    # Processes

    def kill(self, process: Process) -> None:
        """Nothing of it ever runs again."""
        process.dead = True
        self._dropped += process.stashed
        process.stashed = []

    def freeze(self, process: Process, seconds: float) -> None:
        """Nothing of it runs for so long."""
        process.frozen = True

        def thaw() -> None:
            process.frozen = False
            self._ready.extend(process.stashed)
            process.stashed = []

        self.call_later(seconds, thaw, context=_NOBODY)

    # Running

    def _run_once(self) -> None:
        if not self._ready and not self._stopping:
            self._wait()
        self._move_due()
        batch = list(self._ready)
        self._ready.clear()
        if len(batch) > 1:
            batch = self._shuffled(batch)
        for handle in batch:
            if not handle.cancelled():
                self._step(handle)

    def _step(self, handle: asyncio.Handle) -> None:
        variables = _variables_of(handle)
        process = variables.get(PROCESS)
        if process is not None:
            if variables.get(HANDLING) is not None and not process.dead and not process.frozen:
                self.on_handler_step(process)
            if process.dead:
                self._dropped.append(handle)  # What it holds must not be closed in mid-run.
                return
            if process.frozen:
                process.stashed.append(handle)
                return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TimeUpError(
                f"Still going on after {self.steps:,} steps: something is busy for ever."
            )
        handle._run()  # noqa: SLF001

    def _wait(self) -> None:
        """Wait for threads, if there are any, else for the next timer, which takes no time."""
        self._woken.clear()
        if not self._ready and (self._executing or _threads_at_work(self)):
            if not self._woken.wait(PATIENCE):
                raise TimeUpError(f"A thread still works after {PATIENCE:g} real seconds.")
            return
        while self._scheduled and self._scheduled[0].cancelled():
            _unschedule(heapq.heappop(self._scheduled))
        if self._ready:
            return
        due = self._scheduled[0].when() if self._scheduled else math.inf
        if due > self._limit:
            raise TimeUpError(f"Not over after {self._limit:g} virtual seconds.")
        self._now = max(self._now, due)

    def _move_due(self) -> None:
        while self._scheduled and self._scheduled[0].when() <= self._now:
            timer = heapq.heappop(self._scheduled)
            _unschedule(timer)
            if not timer.cancelled():
                self._ready.append(timer)

    def _shuffled(self, batch: list[asyncio.Handle]) -> list[asyncio.Handle]:
        strands: dict[Any, deque[asyncio.Handle]] = {}
        for handle in batch:
            strands.setdefault(self._strand(handle), deque()).append(handle)
        if len(strands) == 1:
            return batch
        keys = list(strands)
        shuffled: list[asyncio.Handle] = []
        while keys:
            key = self._rng.choice(keys)
            shuffled.append(strands[key].popleft())
            if not strands[key]:
                keys.remove(key)
        return shuffled

    def _strand(self, handle: asyncio.Handle) -> object:
        process = _variables_of(handle).get(PROCESS)
        if not self._mixed:
            return process
        owner: object = getattr(getattr(handle, "_callback", None), "__self__", None)
        return owner if isinstance(owner, _Task) else process

    # What the base class leaves open

    def _write_to_self(self) -> None:
        self._woken.set()

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def bury(self) -> None:
        """Close what never came to its end, quietly, and then the loop."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # noqa: SLF001 # pyright: ignore[reportAttributeAccessIssue]
            _close(task.get_coro())
        self._dropped.clear()
        self._ready.clear()
        self._scheduled.clear()
        if not self.is_closed():
            self.close()


def _make_task(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
) -> _Task:
    return _Task(coro, loop=loop, **kwargs)


def _variables_of(handle: asyncio.Handle) -> Variables:
    variables: Variables = getattr(handle, _CONTEXT)
    return variables


def _unschedule(timer: asyncio.TimerHandle) -> None:
    # The base class counts the cancelled ones that are still scheduled.
    setattr(timer, _SCHEDULED, False)


def _threads_at_work(loop: VirtualLoop) -> bool:
    """Whether a thread that anyio started for this loop is running a function."""
    if threading.active_count() == 1:
        return False
    for thread in threading.enumerate():
        idle: Any = getattr(thread, "idle_workers", None)
        if idle is None or getattr(thread, "loop", None) is not loop:
            continue
        if not getattr(thread, "stopping", False) and thread not in idle:
            return True
    return False


def _close(coroutine: Any) -> None:
    for _ in range(MOST_CLOSINGS):
        try:
            coroutine.close()
        except RuntimeError:
            continue  # It awaited something once more.
        except BaseException:  # noqa: BLE001 - nobody is left to hear of it
            return
        return
