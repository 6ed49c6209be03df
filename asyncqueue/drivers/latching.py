"""The rules of latches, for drivers to apply inside the step that moves a job. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.record import Counted, On, State, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.record import Latch


class Effect(msgspec.Struct, frozen=True):
    """What has to be done, in the same step: let go of the jobs held for these, drop those.

    ``broke`` and ``opened`` are as in :class:`~asyncqueue.record.Counted`.
    """

    let_go: tuple[On, ...] = ()
    drop: tuple[On, ...] = ()
    broke: bool = False
    opened: bool = False


NOTHING = Effect()
MOST_COUNTED: Final = 2**53


class LatchState(msgspec.Struct):
    """All that a store keeps of a latch. Instants are seconds by the store's clock.

    ``guards`` have been let go of and have not ended; ``success_guards`` and ``failure_guards``
    are still held. ``broken`` is True once a member has failed, ``ended`` once those held until
    the END were let go of.
    """

    id: str
    data: bytes
    breaks: bool
    retention: float
    created_at: float
    total: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    guards: int = 0
    success_guards: int = 0
    failure_guards: int = 0
    called_off: bool = False
    broken: bool = False
    ended: bool = False
    error: str | None = None
    opened_at: float | None = None

    @property
    def plausible(self) -> bool:
        """Whether it has counts that can have come about, and can go on."""
        counts = (self.total, self.completed, self.failed, self.skipped)
        guards = (self.guards, self.success_guards, self.failure_guards)
        return all(abs(count) < MOST_COUNTED for count in counts + guards)

    @property
    def pending(self) -> int:
        """Members that have not ended."""
        return self.total - self.completed - self.failed - self.skipped

    @property
    def expires_at(self) -> float | None:
        """When it may be forgotten; None as long as that is not known."""
        if not self.ended or self.opened_at is None:
            return None
        return self.opened_at + self.retention

    def expired(self, now: float) -> bool:
        """Whether it may be forgotten."""
        over = self.expires_at
        return over is not None and over <= now

    def stored(self, held: On | None, *, guards: bool) -> None:
        """A record of this latch was stored: a member, or one that is held."""
        if held is None:
            self.total += 1
        else:
            self._hold(held, int(guards))

    def unheld(self, on: On, *, guards: bool) -> None:
        """A job that it holds was removed."""
        self._hold(on, -int(guards))

    def member_ended(self, state: State, error: str | None, now: float) -> Effect:
        """A member ended in this state; ``CANCELLED`` stands for removed as well."""
        let_go: list[On] = []
        broke = False
        if state is State.COMPLETED:
            self.completed += 1
        elif state is State.FAILED:
            self.failed += 1
            broke = self.breaks and not self.called_off and self.opened_at is None
            self.called_off = self.called_off or broke
            if not self.broken and self.opened_at is None:
                self.broken, self.error = True, error
                let_go.append(On.FAILURE)
                self.guards += self.failure_guards
        else:
            self.skipped += 1
        if self.pending > 0 or self.opened_at is not None:
            return Effect(tuple(let_go), broke=broke)
        return self._open(let_go, now, broke=broke)

    def guard_ended(self) -> Effect:
        """A job that guards ended, in whatever state."""
        self.guards -= 1
        if not self._at_end():
            return NOTHING
        self.ended = True
        return Effect((On.END,))

    def member_requeued(self) -> None:
        """A failed member is pending again."""
        self.failed -= 1

    def call_off(self) -> bool:
        """Call it off; answers whether that changes something."""
        if self.called_off or self.opened_at is not None:
            return False
        self.called_off = True
        return True

    def tally(self) -> Tally:
        """What others may know of it."""
        return Tally(
            id=self.id,
            data=self.data,
            total=self.total,
            completed=self.completed,
            failed=self.failed,
            skipped=self.skipped,
            called_off=self.called_off,
            created_at=self.created_at,
            error=self.error,
            opened_at=self.opened_at,
        )

    def counted(self, effect: Effect) -> Counted:
        """The answer to the settlement that had this effect."""
        return Counted(self.tally(), broke=effect.broke, opened=effect.opened)

    def _open(self, let_go: list[On], now: float, *, broke: bool) -> Effect:
        self.opened_at = now
        drop: list[On] = []
        if self.failed or self.skipped:
            drop.append(On.SUCCESS)
        else:
            let_go.append(On.SUCCESS)
            self.guards += self.success_guards
        if On.FAILURE not in let_go:
            drop.append(On.FAILURE)  # Whoever came after the first failure as well.
        if self._at_end():
            self.ended = True
            let_go.append(On.END)
        return Effect(tuple(let_go), tuple(drop), broke=broke, opened=True)

    def _at_end(self) -> bool:
        return self.opened_at is not None and self.guards <= 0 and not self.ended

    def _hold(self, on: On, guards: int) -> None:
        if on is On.SUCCESS:
            self.success_guards += guards
        elif on is On.FAILURE:
            self.failure_guards += guards


def new_latches(latches: Iterable[Latch], now: float) -> dict[str, LatchState]:
    """The states of latches that are about to be stored, by id."""
    return {
        latch.id: LatchState(latch.id, latch.data, latch.breaks, latch.retention, now)
        for latch in latches
    }
