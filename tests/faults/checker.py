"""One checker for every scenario: what was promised, held against what the journal tells.

Words: an *effect* is one body that ran to its end. A job is *lost* when its dispatch was
acknowledged and it neither ran to its end, nor is in the store.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from .journal import BODY_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .journal import Entry

WAITING: Final = frozenset({"pending", "delayed", "processing"})
DEAD: Final = frozenset({"failed", "cancelled"})


class Body(NamedTuple):
    """One run of a handler."""

    id: str
    pid: int
    began: float
    ended: float
    """Infinite for one that goes on."""
    how: str
    """``finished``, ``cancelled``, ``raised``, ``died`` or, for one that goes on, nothing."""
    key: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of all jobs."""

    attempted: frozenset[str]
    acknowledged: frozenset[str]
    done: frozenset[str]
    """Ran to their end at least once."""
    dead: frozenset[str]
    """In the failed store, or cancelled."""
    waiting: frozenset[str]
    """In the store, neither run nor dead."""
    lost: frozenset[str]
    unexpected: frozenset[str]
    """Ran, and nobody dispatched them."""
    recovered: frozenset[str]
    """Ran, though whoever dispatched them was told that they are not stored."""
    duplicated: frozenset[str]
    """Had an effect more than once."""
    unexplained: frozenset[str]
    """Had more effects than one, and one for each time their lease was lost."""
    overlapped: frozenset[str]
    """Two bodies of one job ran at once."""
    unfenced: frozenset[str]
    """A settlement was accepted of a claim that was not the newest."""
    unrun: frozenset[str]
    """Completed in the store, without a body that ran to its end."""
    twice_called: frozenset[str]
    """A hook was called more than once."""
    bodies: Sequence[Body]
    stale: int
    """Settlements that were refused."""
    deaths: int

    @property
    def cut(self) -> int:
        """Bodies that ended with their process."""
        return sum(body.how == "died" for body in self.bodies)

    @property
    def effects(self) -> Counter[str]:
        """How often each job ran to its end."""
        return Counter(body.id for body in self.bodies if body.how == "finished")

    def problems(self, *, faults: bool = True) -> list[str]:
        """What must never be; without faults nothing may run twice or at once either."""
        sets = {
            "lost": self.lost,
            "unexpected": self.unexpected,
            "unexplained effects of": self.unexplained,
            "stale settlements accepted of": self.unfenced,
            "completed though never run": self.unrun,
            "hooks called twice of": self.twice_called,
        }
        if not faults:
            sets |= {"duplicated": self.duplicated, "overlapped": self.overlapped}
        told = [f"{what} {len(ids)}, such as {min(ids)}" for what, ids in sets.items() if ids]
        if not faults and self.stale:
            told.append(f"{self.stale} settlements refused as stale")
        return told


def check(entries: Sequence[Entry], stored: Mapping[str, str]) -> Report:
    """The report. ``stored`` is the state of every job that the store knows."""
    attempted, acknowledged, refused = (
        frozenset(entry.id for entry in entries if entry.event == event)
        for event in ("attempted", "acknowledged", "refused")
    )
    bodies = bodies_of(entries)
    effects = Counter(body.id for body in bodies if body.how == "finished")
    done = frozenset(effects)
    dead = frozenset(id for id, state in stored.items() if state in DEAD)
    waiting = frozenset(id for id, state in stored.items() if state in WAITING) - done
    leases_lost = _leases_lost(entries)
    called = Counter((e.id, e.state) for e in entries if e.event == "called")
    return Report(
        attempted=attempted,
        acknowledged=acknowledged,
        done=done,
        dead=dead,
        waiting=waiting,
        lost=acknowledged - done - dead - waiting,
        unexpected=(frozenset(body.id for body in bodies) | stored.keys()) - attempted,
        recovered=refused & done,
        duplicated=frozenset(id for id, count in effects.items() if count > 1),
        unexplained=frozenset(id for id, count in effects.items() if count > 1 + leases_lost[id]),
        overlapped=_overlapped(bodies),
        unfenced=_unfenced(entries),
        unrun=frozenset(id for id, state in stored.items() if state == "completed") - done,
        twice_called=frozenset(id for (id, _), count in called.items() if count > 1),
        bodies=bodies,
        stale=sum(entry.event == "stale" for entry in entries),
        deaths=sum(entry.event == "died" for entry in entries),
    )


def bodies_of(entries: Iterable[Entry]) -> list[Body]:
    """The bodies, in the order in which they began."""
    begun: dict[tuple[int, int], Entry] = {}
    ended: dict[tuple[int, int], tuple[float, str]] = {}
    deaths: dict[int, float] = {}
    for entry in entries:
        if entry.event == "started":
            begun[entry.pid, entry.run] = entry
        elif entry.event in BODY_ENDS:
            ended[entry.pid, entry.run] = entry.at, entry.event
        elif entry.event == "died":
            deaths[entry.pid] = entry.at
    bodies = []
    for which, start in begun.items():
        died = (deaths[start.pid], "died") if start.pid in deaths else (math.inf, "")
        bodies.append(Body(start.id, start.pid, start.at, *ended.get(which, died), start.key))
    return sorted(bodies, key=lambda body: body.began)


def at_once(bodies: Iterable[Body]) -> dict[str, int]:
    """For each key, how many bodies ran at once at most."""
    moments: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for body in bodies:
        if body.key:
            moments[body.key] += [(body.began, 1), (body.ended, -1)]
    most: dict[str, int] = {}
    for key, changes in moments.items():
        running = highest = 0
        for _, change in sorted(changes):
            running += change
            highest = max(highest, running)
        most[key] = highest
    return most


class Comeback(NamedTuple):
    """A body that ended with its process, and the next one of its job."""

    id: str
    died: float
    began: float
    """Infinite where there was none."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.began - self.died


def comebacks(bodies: Sequence[Body]) -> list[Comeback]:
    """Of each body that ended with its process, the quickest first."""
    begun: dict[str, list[float]] = defaultdict(list)
    for body in bodies:
        begun[body.id].append(body.began)
    back = [
        Comeback(
            body.id,
            body.ended,
            min((at for at in begun[body.id] if at > body.ended), default=math.inf),
        )
        for body in bodies
        if body.how == "died"
    ]
    return sorted(back, key=lambda one: one.seconds)


def _leases_lost(entries: Iterable[Entry]) -> Counter[str]:
    """Claims whose settlement was not accepted."""
    claims: Counter[str] = Counter()
    for entry in entries:
        if entry.event == "claimed":
            claims[entry.id] += 1
        elif entry.event == "settled":
            claims[entry.id] -= 1
    return claims


def _overlapped(bodies: Iterable[Body]) -> frozenset[str]:
    until: dict[str, float] = {}
    found: set[str] = set()
    for body in bodies:
        if body.began < until.get(body.id, -math.inf):
            found.add(body.id)
        until[body.id] = max(body.ended, until.get(body.id, -math.inf))
    return frozenset(found)


def _unfenced(entries: Iterable[Entry]) -> frozenset[str]:
    """What is completed is never claimed again, so the newest claim is the one that did it."""
    newest: dict[str, int] = {}
    ends: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        if entry.event == "claimed":
            newest[entry.id] = max(entry.token, newest.get(entry.id, 0))
        elif entry.event == "settled" and entry.state == "completed":
            ends[entry.id].append(entry.token)
    return frozenset(
        id for id, tokens in ends.items() if len(tokens) > 1 or tokens[0] < newest.get(id, 0)
    )
