"""--processes and --reload: children that come and go under a supervisor."""

from __future__ import annotations

import os
import signal

import pytest

from .applications import SAYS, SHOP


@pytest.fixture(autouse=True)
def shop(here):
    (here / "shop.py").write_text(SHOP)


def next_child(supervisor) -> int:
    """The process id that the next child tells of itself."""
    line = supervisor.until(" worker, pid ")
    return int(line.partition(" pid ")[2].partition(",")[0])


@pytest.mark.case("WRK-26")
def test_recycles_after_max_jobs(start, stored):
    """After each third job it recycles, all seven run once, nothing is left reserved."""
    stored.put(*[("Send", {"who": "a"})] * 7)
    supervisor = start("shop:queue", "--processes", "1", "--max-jobs", "3", "--stop-when-empty")
    assert supervisor.ended() == 0
    totals = [line for line in supervisor.out if line.startswith("Stopped")]
    assert [line.partition(",")[0] for line in totals] == [
        "Stopped (reached --max-jobs): 3 completed",
        "Stopped (reached --max-jobs): 3 completed",
        "Stopped (the queues are empty): 1 completed",
    ]
    jobs = stored.jobs().values()
    assert {(job.state, job.attempts) for job in jobs} == {("completed", 1)}
    assert supervisor.out[-1] == "All processes stopped."


@pytest.mark.case("WRK-34", on="sqlite")
def test_a_restart_gives_every_child_a_successor(start, stored, run):
    supervisor = start("shop:queue", "--processes", "1", "--lease", "1")
    first = next_child(supervisor)
    supervisor.until("Ready.")
    assert run("restart").stdout == "Asked 1 worker to end after the current jobs.\n"
    supervisor.until("Stopped (a restart was asked for)")
    assert next_child(supervisor) != first
    supervisor.until("Ready.")
    supervisor.send(signal.SIGTERM)
    assert supervisor.ended() == 0


def test_a_killed_child_is_replaced_and_its_job_runs_again_once(start, stored):
    (id,) = stored.put(("DieOnce", {}))
    supervisor = start("shop:queue", "--processes", "1", "--lease", "1", "--concurrency", "1")
    child = next_child(supervisor)
    supervisor.until("attempt 1")
    os.kill(child, signal.SIGKILL)
    supervisor.until(f"Worker process {child} was killed by SIGKILL")
    successor = next_child(supervisor)
    supervisor.until("attempt 2")
    supervisor.send(signal.SIGHUP)
    supervisor.until("SIGHUP: restarting one process after the other.")
    third = next_child(supervisor)
    supervisor.until("Ready.")
    assert len({child, successor, third}) == 3
    supervisor.send(signal.SIGTERM)
    assert supervisor.ended() == 0
    assert (stored.jobs()[id].state, stored.jobs()[id].attempts) == ("completed", 2)
    assert sum(line.startswith("attempt") for line in supervisor.out) == 2


def test_children_end_when_their_supervisor_is_killed(start, stored):
    (id,) = stored.put(("Wait", {}))
    supervisor = start("shop:queue", "--processes", "2")
    supervisor.until_all("waiting", "Ready.", "Ready.")
    supervisor.send(signal.SIGKILL)
    # Their ends of the pipes close when they have ended: only then is everything read.
    assert supervisor.ended() == -signal.SIGKILL
    stopped = [line for line in supervisor.out if line.startswith("Stopped (SIGTERM)")]
    assert len(stopped) == 2
    assert stored.states()[id] == "pending"


def test_a_target_that_cannot_be_loaded_is_said_once(start):
    supervisor = start("shop:quue", "--processes", "3")
    assert supervisor.ended() == 2
    assert supervisor.err[0] == 'Error: shop has no "quue". Did you mean "queue"?'
    assert len(supervisor.err) == 2


def test_a_crash_loop_is_said_once_and_can_be_stopped(start, here):
    (here / "fragile.py").write_text("import os\nos._exit(7)\n")
    supervisor = start("fragile:queue", "--processes", "2")
    supervisor.until("ended with exit code 7 at once; starting another")
    supervisor.until("again; trying on with growing pauses, 30 s at most")
    supervisor.send(signal.SIGINT)
    assert supervisor.ended() == 0
    assert len(supervisor.err) == 2


def test_reload_runs_the_changed_code_and_waits_for_broken_code_to_be_mended(start, stored, here):
    source = here / "talk.py"
    source.write_text(SAYS.format(version=1))
    stored.put(("Say", {}))
    supervisor = start("talk:queue", "--reload")
    supervisor.until("this is version 1")
    source.write_text("this is no Python\n")
    supervisor.until("Changed: talk.py; restarting.")
    supervisor.until("talk cannot be imported: SyntaxError")
    supervisor.until("Waiting for a file to change.")
    source.write_text(SAYS.format(version=2))
    supervisor.until("Ready.")
    stored.put(("Say", {}))
    supervisor.until("this is version 2")
    supervisor.send(signal.SIGTERM)
    assert supervisor.ended() == 0
