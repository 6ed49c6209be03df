"""Keeps a number of worker processes running until it is told to stop."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from asyncqueue.cli.banner import Speaker
from asyncqueue.cli.child import Child
from asyncqueue.cli.serve import MEMORY, RECYCLE
from asyncqueue.cli.signals import FORCING, SETTLE_FIRST, SETTLE_SECOND
from asyncqueue.cli.sources import roots_of, watch
from asyncqueue.cli.text import counted, duration, escaped
from asyncqueue.cli.wakeups import CHANGED, Wakeups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.cli.options import Options

WRONG_USE: Final = 2
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
log = logging.getLogger("asyncqueue.supervisor")


def supervise(options: Options, arguments: Sequence[str]) -> int:
    """Run the worker command with these arguments in processes of its own."""
    supervisor = Supervisor(
        arguments,
        options.processes or 1,
        Speaker(options.log_format),
        until_empty=options.stop_when_empty,
        reload=options.reload,
    )
    supervisor.wakeups.install()
    if options.reload:
        modules = [name for name in (options.target, *options.imports) if name]
        watch(roots_of(modules), supervisor.noticed)
    return supervisor.run()


class Place:
    """One of the processes to be kept running, and how often it crashed in a row."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.due: float | None = 0.0
        """When to start the next child; None for not by itself."""
        self.crashes = 0

    def pause(self) -> float:
        """Seconds to wait after one more crash: none after the first."""
        self.crashes += 1
        if self.crashes == 1:
            return 0.0
        return min(SHORTEST_PAUSE * 2.0 ** (self.crashes - 2), LONGEST_PAUSE)


class Supervisor:
    """Starts children, restarts those that die, passes signals on, ends when all have."""

    def __init__(
        self,
        arguments: Sequence[str],
        count: int,
        speaker: Speaker,
        *,
        until_empty: bool,
        reload: bool,
    ) -> None:
        self.wakeups = Wakeups()
        self._arguments = list(arguments)
        self._speaker = speaker
        self._until_empty = until_empty
        self._reload = reload
        self._places = [Place() for _ in range(count)]
        self._rolling: deque[tuple[Place, Child]] = deque()
        self._replaced: Place | None = None
        self._stops = 0
        self._stopped_at = 0.0
        self._code = 0
        self._started = False
        self._once_ready = False
        self._changed: list[str] = []

    def noticed(self, paths: list[str]) -> None:
        """Source files changed; called from another thread."""
        self._changed = paths
        self.wakeups.changed()

    def run(self) -> int:
        """Keep them running; answers the exit code when all have ended."""
        count = len(self._places)
        what = counted(count, "process") + (", restarted when a file changes" * self._reload)
        self._speaker.say("supervising", f"asyncqueue supervisor: {what}", processes=count)
        while self._unfinished():
            self._start_due()
            for number in self.wakeups.wait(self._patience()):
                self._handle(number)
            self._reap()
            self._roll()
        if not self._code:
            self._speaker.say("supervised", "All processes stopped.")
        return self._code

    # What there is to do

    def _unfinished(self) -> bool:
        living = any(place.child for place in self._places)
        if self._stops:
            return living
        return living or self._reload or any(place.due is not None for place in self._places)

    def _patience(self) -> float | None:
        waiting = [place for place in self._startable() if place.child is None]
        dues = [place.due for place in waiting if place.due is not None]
        return max(min(dues) - time.monotonic(), 0.0) if dues and not self._stops else None

    def _startable(self) -> list[Place]:
        """All places; before any child was ever ready only the first, which says what is wrong."""
        return self._places if self._once_ready else self._places[:1]

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in [] if self._stops else self._startable():
            if place.child is None and place.due is not None and place.due <= now:
                self._start(place)

    def _start(self, place: Place) -> None:
        child = Child(self._arguments, brief=self._started, keep_bytecode=not self._reload)
        self._started = True
        place.child, place.due = child, None
        self.wakeups.watch(child.ready_pipe, lambda: self._heard(child))

    def _heard(self, child: Child) -> None:
        child.heard()
        self._once_ready = self._once_ready or child.ready

    # Signals

    def _handle(self, number: int) -> None:
        if number == CHANGED:
            self._restart_changed()
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._stop(signal.Signals(number))
        elif number == signal.SIGHUP and not self._stops:
            self._speaker.say("restarting", "SIGHUP: restarting one process after the other.")
            self._rolling.extend((place, place.child) for place in self._places if place.child)

    def _stop(self, number: signal.Signals) -> None:
        settling = (0.0, SETTLE_FIRST, SETTLE_SECOND)[min(self._stops, 2)]
        if time.monotonic() - self._stopped_at < settling:
            return
        self._stops += 1
        self._stopped_at = time.monotonic()
        if self._stops >= FORCING:
            self._speaker.say("killing", f"{number.name} again: ending all processes at once.")
            self._code = 1
            self._send(signal.SIGKILL)
        else:
            self._speaker.say("stopping", f"{number.name}: stopping all processes.")
            self._send(number)

    def _send(self, number: signal.Signals) -> None:
        for place in self._places:
            if place.child is not None:
                place.child.send(number)

    def _restart_changed(self) -> None:
        if self._stops:
            return
        shown = escaped(", ".join(path.rpartition("/")[2] for path in self._changed[:3]))
        self._speaker.say("reloading", f"Changed: {shown}; restarting.", files=self._changed)
        for place in self._places:
            place.crashes = 0
            place.due = 0.0  # Wanted again, however it ends.
            if place.child is not None:
                place.child.send(signal.SIGTERM)

    def _roll(self) -> None:
        """Restart the next one when the one before it has a successor that is ready."""
        if self._replaced is not None:
            child = self._replaced.child
            if not self._stops and (child is None or not child.ready):
                return
            self._replaced = None
        while self._rolling and not self._stops:
            place, child = self._rolling.popleft()
            if place.child is child:
                child.ready = False
                child.send(signal.SIGTERM)
                self._replaced = place
                return

    # Ends

    def _reap(self) -> None:
        for place in self._places:
            child = place.child
            code = None if child is None else child.ended()
            if child is not None and code is not None:
                self.wakeups.forget(child.ready_pipe)
                place.child = None
                self._after(place, child, code)

    def _after(self, place: Place, child: Child, code: int) -> None:
        """Decide what follows the end of a child."""
        if self._stops:
            return
        wanted = place.due is not None or self._replaced is place
        if wanted or code in (RECYCLE, MEMORY):
            self._again(place)
        elif code == 0 and self._until_empty:
            return
        elif code == WRONG_USE and (self._reload or not self._once_ready):
            self._give_up(code)
        elif child.crashed:
            self._crashed(place, child, code)
        else:
            log.warning("Worker process %d %s; starting another", child.pid, _ending(code))
            self._again(place)

    def _again(self, place: Place) -> None:
        place.crashes = 0
        place.due = time.monotonic()

    def _crashed(self, place: Place, child: Child, code: int) -> None:
        pause = place.pause()
        if place.crashes == 1:
            log.error("Worker process %d %s at once; starting another", child.pid, _ending(code))
        elif place.crashes == 2:  # noqa: PLR2004 - said once
            log.error(
                "Worker process %d %s at once, again; trying on with growing pauses, %s at most",
                child.pid,
                _ending(code),
                duration(LONGEST_PAUSE),
            )
        place.due = time.monotonic() + pause

    def _give_up(self, code: int) -> None:
        """The application cannot be loaded: only a change of its files can mend that."""
        if self._reload:
            self._speaker.say("waiting", "Waiting for a file to change.")
            return
        self._code = code
        self._stops = 1


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}"
