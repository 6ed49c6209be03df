from __future__ import annotations

from asyncqueue.demo.journal import Entry, in_hand


def test_a_failure_that_the_kill_kept_from_the_store_was_in_hand():
    """The job was begun again, so nobody had stored that it failed."""
    entries = [
        Entry("started", 1, "stored", 1),
        Entry("failed", 1, "stored", 1),
        Entry("started", 1, "unstored", 1),
        Entry("failed", 1, "unstored", 1),
        Entry("started", 1, "running", 1),
        Entry("died", 1, "worker 1"),
        Entry("started", 2, "unstored", 2),
        Entry("failed", 2, "unstored", 2),
    ]
    assert in_hand(entries, 1) == {("unstored", 1), ("running", 1)}
    assert in_hand(entries, 2) == set()
