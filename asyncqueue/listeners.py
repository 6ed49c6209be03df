"""Who is told of events, and how: in order, and without holding up the jobs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections import OrderedDict, deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from asyncqueue import errors
from asyncqueue.cancellation import raise_if_cancelled
from asyncqueue.events import Event, JobCancelled

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_UNHEARD: Final = 100_000
"""Events that wait for one listener; what comes on top of them is dropped."""
MOST_SENT_ONCE: Final = 10_000
"""Keys of events that are sent once; of the oldest ones an event could be sent again."""
SAID_EVERY: Final = 10_000
"""Of how many dropped events one is logged."""
log = logging.getLogger("asyncqueue.events")
_hearing: ContextVar[Listeners | None] = ContextVar("asyncqueue_hearing", default=None)


class Listeners:
    """The listeners of one queue.

    A plain listener is called at once, on the event loop: it must be quick. A coroutine function
    runs beside the jobs and hears its events one after the other, in order; where it is too slow
    and 100,000 wait for it, new ones are dropped, with a warning. What a listener raises is
    logged and changes nothing.
    """

    def __init__(self) -> None:
        self._by_type: dict[type[Event], list[_Listener]] = {}
        self.listening: list[_Listener] = []
        """Who listens to anything at all: a job that nobody hears of should cost no call."""
        self._sent: OrderedDict[str, None] = OrderedDict()

    def on(self, event_type: type[Event], listener: Callable[[Any], Any]) -> Callable[[], None]:
        """Call ``listener`` for events of this type and its subtypes; answers an unsubscribe."""
        given: type = event_type
        if given is errors.JobCancelled:  # The error shares its name with the event.
            event_type = JobCancelled
        if not (isinstance(event_type, type) and issubclass(event_type, Event)):
            raise TypeError(f"Listen to an event class such as JobProcessed, got {event_type!r}")
        if not callable(listener):
            raise TypeError(f"A listener must be callable with the event, got {listener!r}")
        entry = _Listener(self, event_type, listener)
        self.listening.append(entry)
        self._by_type.clear()

        def unsubscribe() -> None:
            if entry in self.listening:
                self.listening.remove(entry)
                self._by_type.clear()

        return unsubscribe

    def __bool__(self) -> bool:
        """Whether anybody listens to anything."""
        return bool(self.listening)

    def wants(self, event_type: type[Event]) -> bool:
        """Whether anybody listens: if not, the event need not be made."""
        return bool(self.listening) and bool(self._of(event_type))

    def send(self, event: Event) -> None:
        """Tell everybody who listens to this type."""
        for listener in self._of(type(event)):
            listener.tell(event)

    def send_once(self, key: str, event: Event) -> None:
        """As :meth:`send`, for a fact that several may learn of: once for each key."""
        if key in self._sent:
            return
        self._sent[key] = None
        if len(self._sent) > MOST_SENT_ONCE:
            self._sent.popitem(last=False)
        self.send(event)

    def hearing(self) -> bool:
        """Whether the caller is one of these listeners: it cannot wait for itself."""
        return _hearing.get() is self

    async def drained(self, patience: float | None = None) -> None:
        """Return when every event sent so far was heard, or after ``patience`` seconds."""
        try:
            async with asyncio.timeout(patience):
                for listener in tuple(self.listening):
                    await listener.drained()
        except TimeoutError:
            log.warning("Listeners have not heard all in %g s; not waiting longer", patience)

    def forget_events(self) -> None:
        """Let go of what is being heard: its event loop is not in this process."""
        for listener in self.listening:
            listener.forget_events()

    def _of(self, event_type: type[Event]) -> list[_Listener]:
        found = self._by_type.get(event_type)
        if found is None:
            found = [entry for entry in self.listening if issubclass(event_type, entry.event_type)]
            self._by_type[event_type] = found
        return found


class _Listener:
    def __init__(
        self, owner: Listeners, event_type: type[Event], call: Callable[[Any], Any]
    ) -> None:
        self._owner = owner
        self.event_type = event_type
        self._call = call
        self._is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
            getattr(call, "__call__", None)  # noqa: B004 - an object with async __call__
        )
        self._unheard: deque[Event | asyncio.Future[None]] = deque()
        """Futures stand between the events: whoever waits for those before it is told by it."""
        self._hearing: asyncio.Task[None] | None = None
        self._dropped = 0
        # Not those of whoever sends the first event: they are nothing to the events after it.
        self._variables = contextvars.copy_context()

    def tell(self, event: Event) -> None:
        if not self._is_async:
            self._call_plain(event)
            return
        if len(self._unheard) >= MOST_UNHEARD:
            self._drop(event)
            return
        self._unheard.append(event)
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.get_running_loop().create_task(
                self._hear(), context=self._variables.copy()
            )

    async def drained(self) -> None:
        hearing = self._hearing
        if hearing is not None and hearing is not asyncio.current_task() and not hearing.done():
            heard = asyncio.get_running_loop().create_future()
            self._unheard.append(heard)
            await asyncio.wait([hearing, heard], return_when=asyncio.FIRST_COMPLETED)

    def forget_events(self) -> None:
        self._unheard.clear()
        self._hearing = None

    def _call_plain(self, event: Event) -> None:
        try:
            self._call(event)
        except (Exception, asyncio.CancelledError, SystemExit):
            log.exception("A listener raised on %s", type(event).__name__)

    async def _hear(self) -> None:
        _hearing.set(self._owner)
        while self._unheard:
            event = self._unheard.popleft()
            if isinstance(event, Event):
                await self._call_async(event)
            elif not event.done():
                event.set_result(None)
        if self._dropped:
            log.warning("%s heard all that waited; it missed %d events", self, self._dropped)
            self._dropped = 0

    def _drop(self, event: Event) -> None:
        if self._dropped % SAID_EVERY == 0:
            log.warning(
                "%s is too slow: %d events wait for it already, so a %s is dropped (%d dropped "
                "before). Let it do less, or hand the events on to a job.",
                self,
                len(self._unheard),
                type(event).__name__,
                self._dropped,
            )
        self._dropped += 1

    async def _call_async(self, event: Event) -> None:
        try:
            await self._call(event)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            raise_if_cancelled(error)
            log.exception("A listener raised on %s", type(event).__name__)

    def __str__(self) -> str:
        name = getattr(self._call, "__qualname__", None) or repr(self._call)
        return f"Listener {name} on {self.event_type.__name__}"
