"""Deadlines ring once, in time, and not for what was removed."""

from __future__ import annotations

import math

import pytest

from asyncqueue.execution.deadlines import ROUND, Deadlines
from asyncqueue.testing import Clock


class Timed:
    def __init__(self, clock, seconds):
        self.clock = clock
        self.start = clock.time()
        self.deadline = self.start + seconds
        self.rang = []

    def time_out(self):
        self.rang.append(self.clock.time() - self.start)


def watch(deadlines, timed):
    deadlines.add(timed, timed.deadline - timed.clock.time())


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("seconds", [0.001, ROUND, 2 * ROUND, 0.25, 1, 30, 3600])
async def test_a_deadline_rings_once_at_its_time(clock, seconds):
    deadlines, timed = Deadlines(clock), Timed(clock, seconds)
    watch(deadlines, timed)
    clock.advance(seconds * 0.999)
    assert timed.rang == []
    clock.advance(seconds)
    assert timed.rang == [pytest.approx(seconds, abs=1e-5)]
    clock.advance(1)
    assert len(timed.rang) == 1


async def test_what_was_removed_does_not_ring(clock):
    deadlines = Deadlines(clock)
    near, far = Timed(clock, 0.05), Timed(clock, 5)
    for timed in (near, far):
        watch(deadlines, timed)
        deadlines.remove(timed)
    clock.advance(10)
    assert near.rang == far.rang == []
    assert clock.pending == 0


@pytest.mark.parametrize(("first", "then"), [(0.05, 8), (8, 0.05), (5, 6), (6, 5)])
async def test_a_moved_deadline_rings_at_its_new_time(clock, first, then):
    deadlines, timed = Deadlines(clock), Timed(clock, first)
    watch(deadlines, timed)
    timed.deadline = timed.start + then
    deadlines.moved(timed)
    clock.advance(10)
    assert timed.rang == [pytest.approx(then, abs=1e-5)]


async def test_moving_what_is_not_watched_does_nothing(clock):
    deadlines, timed = Deadlines(clock), Timed(clock, 1)
    deadlines.moved(timed)
    clock.advance(2)
    assert timed.rang == []


async def test_many_deadlines_ring_in_their_order(clock):
    deadlines = Deadlines(clock)
    all_of_them = [Timed(clock, seconds / 7) for seconds in range(60, 0, -1)]
    for timed in all_of_them:
        watch(deadlines, timed)
    clock.advance(10)
    assert [timed.rang for timed in all_of_them] == [
        [pytest.approx(timed.deadline - timed.start, abs=1e-5)] for timed in all_of_them
    ]


async def test_after_its_close_nothing_rings_and_nothing_is_pending(clock):
    deadlines = Deadlines(clock)
    timed = [Timed(clock, seconds) for seconds in (0.01, 1, math.inf)]
    for each in timed:
        watch(deadlines, each)
    deadlines.close()
    clock.advance(10)
    assert [each.rang for each in timed] == [[], [], []]
    assert clock.pending == 0


async def test_without_anything_to_watch_there_is_no_timer(clock):
    deadlines, timed = Deadlines(clock), Timed(clock, 5)
    watch(deadlines, timed)
    deadlines.remove(timed)
    clock.advance(3 * ROUND)
    assert clock.pending == 0
