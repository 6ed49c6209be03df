"""Leases last as long as they were given when somebody sets the clock of the host meanwhile."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.clock import Clock, SystemClock

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite.store import Store

SLACK: Final = 1.0
"""Seconds by which the wall clock may differ from before without having been set."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Steps:
    """Notices that the wall clock was set, and moves the ends of leases along with it.

    They are stored as times of the wall clock, which all processes of the host share, as they
    share the other one, which nobody sets. Whoever writes first after a step moves them for all,
    and leaves a note for the others in the same transaction. When a job is due stays as it is:
    that is a time of the wall clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock if isinstance(clock, SystemClock) else None
        self._ahead = self._now_ahead()
        self._looked_at = monotonic()

    def heed(self, store: Store) -> float:
        """Move leases if there was a step; answers what :meth:`heeded` is to be told."""
        ahead = self._now_ahead()
        if abs(ahead - self._ahead) > SLACK:
            before = _noted(store, self._looked_at, self._ahead)
            if abs(ahead - before) > SLACK:
                _move(store, ahead - before)
            store.change(
                "steps.note", (msgspec.json.encode((_boot(), ahead, monotonic())).decode(),)
            )
        return ahead

    def heeded(self, ahead: float) -> None:
        """It is committed."""
        self._ahead, self._looked_at = ahead, monotonic()

    def _now_ahead(self) -> float:
        """How far the wall clock is ahead of the one that nobody sets."""
        return 0.0 if self._clock is None else self._clock.time() - monotonic()


def _noted(store: Store, looked_at: float, ahead: float) -> float:
    """How far the clock was ahead when leases were moved last: by others, since then, or never."""
    note = store.value("steps.noted")
    if not isinstance(note, str | bytes):
        return ahead
    try:
        boot, noted, at = msgspec.json.decode(note, type=tuple[str, float, float])
    except msgspec.MsgspecError:
        return ahead  # Somebody else wrote there; the next note is ours again.
    # Times of the clock that nobody sets mean nothing after the next start of the host.
    return noted if boot and boot == _boot() and at >= looked_at else ahead


def _move(store: Store, seconds: float) -> None:
    for what in ("leases", "permits", "openings", "workers"):
        store.change(f"steps.move_{what}", (seconds,))


def _boot() -> str:
    """Which start of the host this is; empty where it does not say."""
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:
        return ""
