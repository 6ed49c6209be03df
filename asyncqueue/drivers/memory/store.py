"""The state behind a memory driver and its clones, and the moves that a job can make in it."""

from __future__ import annotations

import math
import threading
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from asyncqueue.drivers.base import Watches
from asyncqueue.drivers.memory.entry import HELD, PENDING, Entry, new_entry
from asyncqueue.drivers.memory.latches import Latches
from asyncqueue.drivers.memory.limits import Limits
from asyncqueue.drivers.memory.shelf import Shelf
from asyncqueue.record import FINISHED, WAITING, Claim, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.clock import Clock
    from asyncqueue.record import Counted, Latch, Presence, Record, Settlement, Source

DELAYED = State.DELAYED
PROCESSING = State.PROCESSING
COMPLETED = State.COMPLETED
FAILED = State.FAILED
CANCELLED = State.CANCELLED
CLAIM_BITS = 20
"""A token is the place of a job in the order of dispatch, and in these bits its claims."""
MOST_SET_ASIDE = 1_000
"""Jobs without a permit that one claim passes over; those behind them are due at once."""


class Store:
    """All jobs by id in order of dispatch, by queue, and by key. Hold ``lock`` for every call."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.watches = Watches()
        self.entries: dict[str, Entry] = {}
        self.shelves: dict[str, Shelf] = {}
        self.paused: set[str] = set()
        self.called_off: dict[str, Entry] = {}
        self.presences: dict[str, tuple[float, Presence]] = {}
        self.first_lease = math.inf
        self.keys: dict[str, Entry] = {}
        self.latches = Latches(self._let_go, self._drop)
        self.limits = Limits(self._put_back_in_line)
        self._expiring: list[tuple[float, int, Entry]] = []
        self._expired = 0
        self._seq = 0

    def now(self) -> float:
        """The time; records whose retention is over by now are gone when it returns."""
        now = self.clock.time()
        while self._expiring and self._expiring[0][0] <= now:
            entry = heappop(self._expiring)[2]
            if self.entries.get(entry.id) is entry:
                self.remove(entry)
                self._expired += 1
        self.latches.expire(now)
        return now

    def enqueue(self, records: Sequence[Record], latches: Sequence[Latch]) -> list[str | None]:
        """Store records and latches, or none of them where one cannot be stored."""
        now = self.now()
        # All copies are made first: a bad record must not leave half of the others behind.
        entries = [new_entry(record, now) for record in records]
        self.latches.check(latches, records)
        return self.admit(entries, latches, now)

    def take_expired_count(self) -> int:
        """How many records expired since this was last asked."""
        expired, self._expired = self._expired, 0
        return expired

    def shelf(self, queue: str) -> Shelf:
        """The jobs of this queue."""
        shelf = self.shelves.get(queue)
        if shelf is None:
            shelf = self.shelves[queue] = Shelf()
        return shelf

    def admit(
        self, entries: Sequence[Entry], latches: Sequence[Latch], now: float
    ) -> list[str | None]:
        """Store new entries; answers for each whose id or key is taken who has it."""
        self.latches.add(latches, now)
        answers: list[str | None] = []
        queue = priority = line = None
        for entry in entries:
            other = self.entries.get(entry.id)
            if other is None and entry.key is not None:
                other = self._take_key(entry, entry.key, now)
            if other is not None:
                answers.append(other.id)
                continue
            answers.append(None)
            entry.seq = self._seq = self._seq + 1
            # Above all tokens of an earlier job of this id that is gone.
            entry.token = entry.seq << CLAIM_BITS
            self.entries[entry.id] = entry
            if entry.latch is not None:
                self.latches.join(entry, entry.latch)
                if entry.state is HELD:
                    continue
            if line is None or entry.queue != queue or entry.priority != priority:
                queue, priority = entry.queue, entry.priority
                line = self.shelf(queue).line(priority)
            if entry.fair is None:
                line.join(entry, now)
            else:
                self.shelf(entry.queue).join(entry, now)
                line = None  # It may have become a fair one.
        self.ring_queues(entries)
        return answers

    def take(self, source: Source, most: int, now: float) -> list[Entry]:
        """Take due entries from their lines; those that lack a permit are set aside."""
        shelf = self.shelf(source.queue)
        taken: list[Entry] = []
        set_aside = 0
        while len(taken) < most and set_aside < MOST_SET_ASIDE:
            got = shelf.take(source, most - len(taken), now)
            admitted = [one for one in got if not one.limits or self._admit(one, shelf, now)]
            taken += admitted
            if len(admitted) == len(got):
                break
            set_aside += len(got) - len(admitted)
        return taken

    def hand_out(self, entry: Entry, now: float, until: float, worker: str) -> Claim:
        """Let a worker have an entry that was taken from its line."""
        entry.state = PROCESSING
        entry.attempts += 1
        entry.token += 1
        entry.started_at = now
        entry.lease_until = until
        entry.worker = worker
        if entry.key_until_claimed:
            self._free_key(entry)
        return Claim(
            entry.id,
            entry.token,
            entry.queue,
            entry.name,
            entry.payload,
            entry.priority,
            entry.attempts,
            entry.exceptions,
            entry.max_attempts,
            entry.created_at,
            entry.latch,
            entry.latch is not None and self.latches.calls_off(entry),
        )

    def held(self, id: str, token: int) -> Entry | None:
        """The entry of a claim, if it is still held."""
        entry = self.entries.get(id)
        if entry is None or entry.token != token or entry.state is not PROCESSING:
            return None
        return entry

    def end(self, entry: Entry, settlement: Settlement, now: float) -> Counted | None:
        """Settle a claim that is still held; answers what counts now for a member that ended."""
        # Before anything changes: where one of them is refused, nothing may have.
        follow_ups = self._follow_ups(entry, settlement, now) if settlement.follow_ups else ()
        entry.attempts = settlement.attempts
        entry.exceptions = settlement.exceptions
        entry.result = settlement.result
        entry.error = settlement.error
        entry.traceback = settlement.traceback
        if settlement.attempt is not None:
            entry.history = (entry.history or b"") + settlement.attempt
        state = settlement.state
        if state is COMPLETED or state is FAILED or state is CANCELLED:
            counted = self.finish(entry, state, settlement.retention, now)
        elif entry.cancel_retention is not None:  # Too late to wait again.
            counted = self.finish(entry, CANCELLED, entry.cancel_retention, now)
        else:
            due = None if state is PENDING else now + max(0.0, settlement.delay)
            self._put_back(entry, now, due)
            counted = None
        if follow_ups:
            self.admit(follow_ups, settlement.latches, now)
        return counted

    def _follow_ups(self, entry: Entry, settlement: Settlement, now: float) -> list[Entry]:
        ends = settlement.state in FINISHED or entry.cancel_retention is not None
        ending = entry if ends else None
        self.latches.check(settlement.latches, settlement.follow_ups, ending)
        return [new_entry(record, now) for record in settlement.follow_ups]

    def recover(self, entry: Entry, now: float) -> bool:
        """A claim ended without an outcome: its job waits again in its old place.

        If its cancellation was asked for, it ends here, and the answer is False.
        """
        if entry.cancel_retention is not None:
            self.finish(entry, CANCELLED, entry.cancel_retention, now)
            return False
        self._put_back(entry, now, None)
        return True

    def _put_back(self, entry: Entry, now: float, due: float | None) -> None:
        shelf = self.shelves[entry.queue]
        del shelf.processing[entry.id]
        if due is not None:
            entry.available_at = due
        self._wait(entry, shelf, now)
        if entry.limits:
            self.limits.ended(entry, now)

    def finish(self, entry: Entry, state: State, retention: float, now: float) -> Counted | None:
        """The end of an entry that waits or is being processed."""
        shelf = self.shelf(entry.queue)
        self._detach(entry, state, shelf)
        counted = None if entry.latch is None else self.latches.ended(entry, state, now)
        entry.finished_at = now
        if state is COMPLETED:
            entry.progress = 100.0
        if state is FAILED:
            shelf.held[state][entry.id] = entry
        elif retention > 0:
            shelf.held[state][entry.id] = entry
            heappush(self._expiring, (now + retention, entry.seq, entry))
        else:
            self._forget(entry)
        return counted

    def remove(self, entry: Entry) -> None:
        """Forget an entry that is not being processed."""
        waited = entry.state in WAITING
        self._detach(entry, CANCELLED, self.shelf(entry.queue))
        if waited and entry.latch is not None:
            self.latches.ended(entry, CANCELLED, self.clock.time())
        self._forget(entry)

    def revive(self, entry: Entry, now: float) -> None:
        """A failed entry becomes a job that was dispatched just now."""
        shelf = self.shelves[entry.queue]
        del shelf.held[FAILED][entry.id]
        self._seq += 1
        if entry.latch is not None:
            self.latches.requeued(entry)
        entry.start_afresh(self._seq, now)
        self.entries[entry.id] = self.entries.pop(entry.id)  # The last in order of dispatch.
        self._wait(entry, shelf, now)

    def ring_queues(self, entries: Iterable[Entry]) -> None:
        """Tell those who watch the queues of these entries."""
        if not self.watches.idle:
            self.watches.ring({f"queue:{entry.queue}" for entry in entries})

    def _wait(self, entry: Entry, shelf: Shelf, now: float) -> None:
        entry.state = PENDING
        entry.worker = None
        shelf.join(entry, now)
        self.ring_queues((entry,))

    def _detach(self, entry: Entry, state: State, shelf: Shelf) -> None:
        """Take an entry from where it stands and give it its next state."""
        before, entry.state = entry.state, state
        if before is PENDING:
            if entry.aside is None:
                shelf.line(entry.priority).leave(entry)
            else:
                del shelf.aside[entry.id]
            if entry.limits:
                self.limits.gone(entry, self.clock.time())
        elif before is not HELD:
            del shelf.held[before][entry.id]
            if entry.limits and before is PROCESSING:
                self.limits.ended(entry, self.clock.time())
        if entry.cancel_retention is not None:
            entry.cancel_retention = None
            self.called_off.pop(entry.id, None)
        if entry.key is not None:
            self._free_key(entry)
        if not self.watches.idle:
            self.watches.ring((f"job:{entry.id}",))

    def _forget(self, entry: Entry) -> None:
        del self.entries[entry.id]
        if entry.latch is not None:
            self.latches.removed(entry)

    def _let_go(self, entry: Entry, now: float) -> None:
        """A latch held this entry until now."""
        entry.available_at = now + entry.delay
        self._wait(entry, self.shelf(entry.queue), now)

    def _drop(self, entry: Entry) -> None:
        """A latch will never let go of this entry."""
        self._detach(entry, CANCELLED, self.shelf(entry.queue))
        del self.entries[entry.id]

    def _admit(self, entry: Entry, shelf: Shelf, now: float) -> bool:
        if self.limits.admit(entry, now):
            return True
        shelf.aside[entry.id] = entry
        return False

    def _put_back_in_line(self, entry: Entry, now: float) -> None:
        """There may be a permit for this entry by now."""
        shelf = self.shelf(entry.queue)
        del shelf.aside[entry.id]
        shelf.join(entry, now)
        self.ring_queues((entry,))

    def _take_key(self, entry: Entry, key: str, now: float) -> Entry | None:
        """Who holds the key, if not the entry from now on."""
        holder = self.keys.get(key)
        if holder is not None and holder.key_until > now:
            return holder
        self.keys[key] = entry
        return None

    def _free_key(self, entry: Entry) -> None:
        if entry.key is not None and self.keys.get(entry.key) is entry:
            del self.keys[entry.key]
