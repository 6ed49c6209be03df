"""What a handle knows of the jobs that wait in each shard, so that it need not ask all of them.

Jobs are claimed from the shard that has the most urgent one. What is known comes from the answers
of the shards, and from the rings of those who put jobs there; where rings may have been missed,
nothing is known. What is known may be wrong by now: shards give what they have, not what is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncqueue.record import Source

Level = tuple[int, int]
"""The index of a source, and a priority with its sign changed: the lowest is the most urgent."""
MOST_KEPT = 64
"""Lists of sources of which is known what waits there."""


class Left(NamedTuple):
    """What waits in a shard: how many of each level, the most urgent first.

    It may hold more behind the last one that was counted, unless it is ``whole``; and at
    ``due`` more can be claimed than was told.
    """

    levels: dict[Level, int]
    whole: bool
    due: float | None


class Lookout:
    """What is known of all shards, for every list of sources that was claimed from."""

    def __init__(self, shards: int, is_heard: Callable[[int, str], bool]) -> None:
        self._shards = shards
        self._is_heard = is_heard
        self._known: dict[tuple[Source, ...], dict[int, Left]] = {}

    def known(self, sources: Sequence[Source], now: float) -> dict[int, Left]:
        """What waits in those shards of which it is known."""
        known = self._known.get(tuple(sources), {})
        return {
            shard: left
            for shard, left in known.items()
            if (left.due is None or now < left.due)
            and all(self._is_heard(shard, source.queue) for source in sources)
        }

    def learn(self, sources: Sequence[Source], shard: int, left: Left) -> None:
        """A shard told what it has left."""
        key = tuple(sources)
        if key not in self._known and len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known.setdefault(key, {})[shard] = left

    def forget(self, sources: Sequence[Source], shard: int) -> None:
        """Nobody knows what this shard has."""
        self._known.get(tuple(sources), {}).pop(shard, None)

    def heard(self, shard: int, queue: str, told: bytes) -> None:
        """A ring came: jobs were put into a queue, of these priorities or of any."""
        for sources, known in self._known.items():
            if shard in known and any(source.queue == queue for source in sources):
                more = _read_ring(sources, queue, told)
                if more is None:
                    del known[shard]
                else:
                    known[shard] = _added(known[shard], more)


def read_left(told: bytes, due_in: float | None, *, most: int, now: float) -> Left:
    """What a shard told, which counted until it had so many."""
    words = [int(word) for word in told.split()]
    levels = {
        (source, -priority): count
        for source, priority, count in zip(words[::3], words[1::3], words[2::3], strict=True)
    }
    whole = sum(levels.values()) < most
    return Left(levels, whole, None if due_in is None else now + due_in)


def plan(known: dict[int, Left], missing: int, turn: int, shards: int) -> dict[int, int]:
    """How many to ask of which shard to have the most urgent of all; shards take turns.

    Empty where nothing is known to wait.
    """
    places = sorted(
        (level, (shard - turn) % shards, shard, count)
        for shard, left in known.items()
        for level, count in left.levels.items()
    )
    asked: dict[int, int] = {}
    for level, _, shard, count in places:
        if missing <= 0:
            break
        asked[shard] = asked.get(shard, 0) + min(count, missing)
        missing -= count
        left = known[shard]
        if not left.whole and level == max(left.levels):
            break  # What comes behind may be more urgent than what the others have.
    return asked


def _read_ring(sources: Sequence[Source], queue: str, told: bytes) -> dict[Level, int] | None:
    try:
        words = [int(word) for word in told.split()]
        pairs = list(zip(words[::2], words[1::2], strict=True))
    except ValueError:
        return None
    more: dict[Level, int] = {}
    for priority, count in pairs:
        for index, source in enumerate(sources):
            if source.queue == queue and source.low <= priority <= source.high:
                more[index, -priority] = more.get((index, -priority), 0) + count
                break
    return more if pairs else None


def _added(left: Left, more: dict[Level, int]) -> Left:
    levels = dict(left.levels)
    for level, count in more.items():
        levels[level] = levels.get(level, 0) + count
    return left._replace(levels=levels)
