"""Which fault strikes when: drawn from a seed, among the moments that a run really has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Collection

FaultKind = Literal["kill", "freeze", "shutdown", "duplicate", "lost_reply", "unavailable", "clock"]
FAULTS: Final[tuple[FaultKind, ...]] = (
    "kill",
    "freeze",
    "shutdown",
    "duplicate",
    "lost_reply",
    "unavailable",
    "clock",
)
"""``kill``: the process of a worker is gone, as after ``kill -9``; another takes its place.
``freeze``: it stands still for longer than its leases, then goes on, as after a suspend.
``shutdown``: it is asked to stop, as at a deploy.
``duplicate``: what it runs is given to another worker as well, while it runs on.
``lost_reply``: a call of the store happens, and its caller is told that the store is unavailable.
``unavailable``: a call fails before anything happens.
``clock``: the store's clock is set forward or back."""

STEP: Final = "step"
"""A moment at which a handler is about to go on."""
DISPATCH: Final = "dispatch"
"""An enqueue by the scenario itself."""
LEASE: Final = 6.0
"""The lease of a lab's workers that are not told another one, in seconds."""
_WEIGHTS: Final = {"settle": 6, "claim": 3, STEP: 6, "enqueue": 3, DISPATCH: 3, "extend": 1}
_BY_ANSWER: Final = {"claim", "sweep"}
"""Calls that count by what they bring: there is no moment before them."""
_OF_CALLS: Final = {"lost_reply", "unavailable"}
_JUMPS: Final = (-20.0, 10.0, 600.0)


class Moment(msgspec.Struct, frozen=True):
    """The ``number``-th call of a verb, before or after it happens, or step of a handler."""

    verb: str
    number: int
    after: bool = False

    def __str__(self) -> str:
        if self.verb == STEP:
            return f"before step {self.number} of the handlers"
        return f"{'after' if self.after else 'before'} {self.verb} {self.number}"


class Fault(msgspec.Struct, frozen=True):
    """What strikes, when, and how many seconds it lasts."""

    kind: FaultKind
    moment: Moment
    seconds: float = 0.0

    def __str__(self) -> str:
        lasts = f" ({self.seconds:+.1f} s)" if self.kind in {"clock", "freeze"} else ""
        return f"{self.kind}{lasts} {self.moment}"


def draw(rng: random.Random, kinds: Collection[FaultKind], moments: Counter[str]) -> list[Fault]:
    """One to three faults for a run; ``moments`` tells how many of each one without faults had."""
    count = rng.choices((1, 2, 3), weights=(6, 3, 1))[0]
    drawn = (_draw_one(rng, kinds, moments) for _ in range(count))
    return [fault for fault in drawn if fault is not None]


def _draw_one(
    rng: random.Random, kinds: Collection[FaultKind], moments: Counter[str]
) -> Fault | None:
    kind: FaultKind = rng.choice([kind for kind in FAULTS if kind in kinds])
    verbs = [verb for verb in sorted(moments) if moments[verb] and _strikes(kind, verb)]
    if not verbs:
        return None
    verb = rng.choices(verbs, [_WEIGHTS.get(verb, 1) for verb in verbs])[0]
    after = verb in _BY_ANSWER or (verb != STEP and rng.choice((False, True)))
    if kind in _OF_CALLS:
        after = kind == "lost_reply"
    moment = Moment(verb, rng.randint(1, moments[verb]), after)
    return Fault(kind, moment, _seconds(rng, kind))


def _strikes(kind: FaultKind, verb: str) -> bool:
    """Whether such a fault can strike there."""
    if kind == "unavailable":
        return verb != STEP and verb not in _BY_ANSWER
    if kind == "lost_reply":
        return verb != STEP
    return verb != DISPATCH


def _seconds(rng: random.Random, kind: FaultKind) -> float:
    if kind == "clock":
        return rng.choice(_JUMPS)
    if kind == "freeze":
        return LEASE * rng.uniform(0.5, 3.0)
    return LEASE * rng.uniform(0.0, 1.5)
