"""Job ids: UUIDs of version 7 that sort in order of creation."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from typing import TYPE_CHECKING

from asyncqueue import ids

if TYPE_CHECKING:
    import pytest


def test_they_are_uuids_of_version_7() -> None:
    for _ in range(100):
        text = ids.new_id()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


def test_they_carry_the_time_of_creation() -> None:
    before = int(time.time() * 1000)
    made = uuid.UUID(ids.new_id()).int >> 80
    # The count may run ahead of the clock by what was made within the last moments.
    assert before <= made <= int(time.time() * 1000) + 1000


def test_later_ones_sort_after_earlier_ones() -> None:
    made = [ids.new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_clock_that_goes_back_does_not_break_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.new_id()
    monkeypatch.setattr(ids.time, "time", lambda: 1.0)
    second, third = ids.new_id(), ids.new_id()
    assert first < second < third


def test_threads_never_make_the_same_one() -> None:
    made: list[list[str]] = [[] for _ in range(4)]
    start = threading.Barrier(4)

    def make(mine: list[str]) -> None:
        start.wait()
        mine.extend(ids.new_id() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for mine in made for one in mine}) == 8000
    assert all(mine == sorted(mine) for mine in made)


def test_the_rest_is_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that start in the same moment do not make the same ids."""
    monkeypatch.setattr(ids.time, "time", lambda: 4e9)
    monkeypatch.setattr(ids, "_last", 0)
    first = ids.new_id()
    monkeypatch.setattr(ids, "_last", 0)
    second = ids.new_id()
    assert first[:18] == second[:18]
    assert first[19:] != second[19:]


def test_a_forked_process_makes_others() -> None:
    """Parent and child share their state at the fork, and must not share what follows."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ids.new_id().encode())
        os._exit(0)
    os.close(writing)
    ours = ids.new_id()
    with os.fdopen(reading) as stream:
        theirs = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    assert uuid.UUID(theirs).version == 7
    assert theirs[19:] != ours[19:]


def test_many_are_like_as_many_single_ones() -> None:
    before = ids.new_id()
    made = ids.new_ids(2 * ids.POOL + 5_000)  # More than one pool, and more than a millisecond's.
    after = ids.new_id()
    assert [before, *made, after] == sorted({before, *made, after})
    assert {uuid.UUID(one).version for one in made} == {7}
    assert len({one[19:] for one in made}) == len(made)
    assert ids.new_ids(0) == []


def test_a_process_that_is_forked_while_a_thread_makes_one_makes_its_own() -> None:
    with ids._lock:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)  # It would wait for that thread, which it does not have.
            ids.new_id()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
