"""The worker command as a process: what it says, how it is stopped, how it ends by itself."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess

import pytest

from asyncqueue.version import __version__

from .applications import COLLECTED, FARAWAY, SHOP, SLOW_TO_IMPORT

TERM, INT = signal.SIGTERM, signal.SIGINT


@pytest.fixture(autouse=True)
def shop(here):
    (here / "shop.py").write_text(SHOP)


@pytest.mark.case("CLI-01", "CLI-02", "CLI-03", "CLI-04", "SHD-16")
def test_runs_says_what_it_does_and_drains(start, stored):
    (sent,) = stored.put(("Send", {"who": "bob"}), queue="emails")
    boom, waiting = stored.put(("Boom", {}), ("Wait", {}))
    worker = start(
        "shop:queue", "--queue", "default,emails", "--concurrency", "4", "--timeout", "2m",
        "--tries", "5", "--loop", "asyncio",
    )  # fmt: skip
    worker.until("waiting, attempt 1")
    worker.send(TERM)
    assert worker.ended() == 0
    banner = worker.out[: worker.out.index("Ready. Ctrl-C stops it.")]
    assert banner[0].startswith(f"asyncqueue {__version__} worker, pid {worker.pid}, Python 3.")
    assert [line.split(maxsplit=1) for line in banner[1:]] == [
        ["driver", f"sqlite ({stored.url})"],
        ["queues", "default, emails (4 shared slots, in this order)"],
        ["concurrency", "4 jobs at a time"],
        ["timeout", "2 min, 5 attempts"],
        ["lease", "30 s"],
        ["shutdown", "grace 0 s, then jobs are cancelled and have 5 s to unwind"],
        ["loop", "asyncio"],
        ["jobs", "9: Block, Boom, Deaf, DieOnce, Forks, Plain, Send, Slow, Wait"],
    ]
    assert worker.out[-2:] == [
        "SIGTERM: stopping; 1 job running, waiting up to 5 s.",
        "Stopped (SIGTERM): 1 completed, 1 failed, 0 retried, 1 returned.",
    ]
    jobs = stored.jobs()
    assert jobs[sent].result == "sent bob"
    assert jobs[boom].state == "failed"
    assert (jobs[waiting].state, jobs[waiting].attempts) == ("pending", 0)
    forged = [line for line in worker.err if "a forged line" in line]
    assert all(not line.startswith("12:00") and "\x1b" not in line for line in forged)


@pytest.mark.case("CLI-04")
def test_interrupt_and_slots_of_its_own(start, stored):
    worker = start("shop:queue", "--queue", "emails=4", "--queue", "default", "--concurrency", "2")
    worker.until("Ready.")
    worker.send(INT)
    assert worker.ended() == 0
    assert "  queues       emails 4, default 2" in worker.out
    assert worker.out[-1] == "Stopped (SIGINT): 0 completed, 0 failed, 0 retried, 0 returned."


def test_second_signal_skips_the_grace(start, stored):
    (id,) = stored.put(("Wait", {}))
    worker = start("shop:queue", "--grace", "1h")
    worker.until("waiting")
    worker.send(TERM)
    said = worker.until("stopping; 1 job running")
    assert said.endswith("The same again hands them back at once.")
    # Signals that come together count as one, so this one may have to be sent twice.
    send_until_ended(worker, most=2)
    assert worker.ended() == 0
    assert (stored.jobs()[id].state, stored.jobs()[id].attempts) == ("pending", 0)


@pytest.mark.case("SHD-17")
def test_leaks_do_not_keep_the_process_alive(start, stored):
    stored.put(("Deaf", {}), ("Plain", {}))
    worker = start("shop:queue", "--drain-timeout", "300ms")
    worker.until_all("deaf", "plain")
    worker.send(TERM)
    assert worker.ended() == 0
    assert sum("ignores its cancellation" in line for line in worker.err) == 2
    assert worker.out[-1].startswith("Stopped (SIGTERM)")
    assert set(stored.states().values()) == {"processing"}  # Until their leases run out.


def test_third_signal_ends_a_worker_whose_loop_is_blocked(start, stored):
    stored.put(("Block", {}))
    worker = start("shop:queue")
    worker.until("blocking")
    send_until_ended(worker, most=20)
    assert worker.ended() == 1
    assert worker.err[-1] == "SIGTERM again: ended at once; leases decide what runs again"


def send_until_ended(worker, most: int) -> None:
    for _ in range(most):
        worker.send(TERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.popen.wait(0.15)
            return


def storm(worker) -> None:
    for _ in range(20):
        worker.send(TERM)


def test_signal_storms_never_give_a_traceback(start, stored, here):
    (here / "tardy.py").write_text(SLOW_TO_IMPORT)
    starting, importing, running = (
        start("shop:queue"),
        start("tardy:queue"),
        start("shop:queue"),
    )
    storm(starting)
    importing.until("importing")
    storm(importing)
    running.until("Ready.")
    storm(running)
    assert starting.ended() in (0, -TERM)  # Its interpreter may not have got to our code.
    assert importing.ended() == 0
    assert running.ended() == 0
    assert importing.err == ["SIGTERM: stopped before the worker started"]
    assert running.out[-1].startswith("Stopped (SIGTERM)")
    assert not any("Traceback" in process.said for process in (starting, importing, running))


@pytest.mark.case("CLI-01", "CLI-02")
def test_without_options_it_serves_the_default_queue(start, stored):
    (sent,) = stored.put(("Send", {"who": "bob"}))
    worker = start("shop:queue")
    worker.until("Ready.")
    banner = [line.split(maxsplit=1) for line in worker.out]
    assert ["queues", "default 10"] in banner
    assert ["timeout", "30 s, 3 attempts"] in banner
    worker.until("sending to bob")
    worker.send(TERM)
    assert worker.ended() == 0
    assert stored.jobs()[sent].result == "sent bob"


@pytest.mark.case("CLI-08")
def test_so_many_jobs_and_no_more(start, stored):
    stored.put(*[("Send", {"who": "a"})] * 4)
    worker = start("shop:queue", "--max-jobs", "3")
    assert worker.ended() == 0
    assert worker.out[-1].startswith("Stopped (reached --max-jobs): 3 completed")
    assert sorted(stored.states().values()) == ["completed"] * 3 + ["pending"]


@pytest.mark.case("CLI-04")
def test_a_signal_while_it_says_what_it_will_do_is_a_clean_end(start, stored):
    """The first step of the worker is still to come."""
    for _ in range(3):
        worker = start("shop:queue")
        worker.until("driver")
        worker.send(TERM)
        assert worker.ended() == 0, worker.said
        assert worker.out[-1].startswith("Stopped (SIGTERM): 0 completed")


@pytest.mark.case("CLI-08", "WRK-32")
def test_once_and_stop_when_empty(start, stored):
    """Each ends by itself with success."""
    stored.put(*[("Send", {"who": "a"})] * 4)
    once = start("shop:queue", "--once")
    assert once.ended() == 0
    assert once.out[-1] == (
        "Stopped (reached --max-jobs): 1 completed, 0 failed, 0 retried, 0 returned."
    )
    rest = start("shop:queue", "--stop-when-empty")
    assert rest.ended() == 0
    assert rest.out[-1] == (
        "Stopped (the queues are empty): 3 completed, 0 failed, 0 retried, 0 returned."
    )


def test_processes_that_jobs_fork_can_be_ended_by_signals(start, stored):
    (id,) = stored.put(("Forks", {}))
    assert start("shop:queue", "--once").ended() == 0
    assert stored.jobs()[id].result == -TERM


@pytest.mark.case("CLI-08", "WRK-33")
def test_limits_of_memory_and_time(start, stored):
    """After the current job, saying which; memory has its own exit code."""
    stored.put(("Slow", {"seconds": 0.5}))
    memory = start("shop:queue", "--max-memory", "1")
    memory.until("slow")
    assert memory.ended() == 12
    assert memory.out[-1].startswith("Stopped (reached --max-memory): 1 completed")
    stored.put(("Slow", {"seconds": 1}))
    hurried = start("shop:queue", "--max-time", "300ms")
    assert hurried.ended() == 0
    assert "slow done" in hurried.out
    assert hurried.out[-1].startswith("Stopped (reached --max-time): 1 completed")


def test_json_is_json_to_the_last_line(start, stored):
    sent, boom = stored.put(("Send", {"who": "bob"}), ("Boom", {}))
    worker = start("shop:queue", "--stop-when-empty", "--log-format", "json")
    assert worker.ended() == 0
    said = [json.loads(line) for line in worker.out]
    assert [fact["event"] for fact in said] == ["starting", "ready", "stopped"]
    assert said[0]["driver"] == stored.url
    assert said[2]["totals"] == {
        "completed": 1, "failed": 1, "retried": 0, "returned": 0, "cancelled": 0,
    }  # fmt: skip
    logged = [json.loads(line) for line in worker.err]
    own = next(fact for fact in logged if fact["logger"] == "asyncqueue.job")
    assert (own["message"], own["job_id"], own["job_name"], own["queue"], own["attempt"]) == (
        "sending to bob", sent, "Send", "default", 1,
    )  # fmt: skip
    failed = next(fact for fact in logged if fact.get("job_id") == boom)
    assert (failed["level"], failed["job_name"]) == ("error", "Boom")
    assert "a forged line" in failed["exc_info"]


def test_a_worker_of_the_application_is_run_as_it_is_configured(start, stored):
    worker = start("shop:worker", "--log-level", "warning")
    worker.until("Ready.")
    worker.send(TERM)
    assert worker.ended() == 0
    assert "  queues       emails 3" in worker.out
    assert any("grace 7 s" in line for line in worker.out)


def test_the_queue_of_the_environment_and_imported_jobs(start, stored, here):
    (id,) = stored.put(("Send", {"who": "bob"}), queue="post")
    (here / ".env").write_text("QUEUE_DEFAULT=post\n")
    worker = start("--import", "shop", "--stop-when-empty")
    assert worker.ended() == 0
    assert stored.states()[id] == "completed"


def test_what_is_most_likely_a_mistake_is_warned_of(start, stored, here):
    (here / "bare.py").write_text(
        "import asyncqueue\nqueue = asyncqueue.Queue('sqlite:///queue.db')"
    )
    stored.put(("Send", {"who": "bob"}), queue="emails")
    worker = start("bare:queue", "--queue", "emial")
    worker.until("No job class is registered")
    assert 'Did you mean "emails"?' in worker.until('No job was ever sent to the queue "emial"')


def test_a_store_that_is_down_is_said_in_a_few_lines(start):
    worker = start("--import", "shop", QUEUE_URL="sqlite:////no/such/dir/queue.db")
    assert worker.ended() == 1
    assert worker.err == [
        (
            "Error: The database /no/such/dir/queue.db cannot be created: there is no directory "
            "/no/such/dir; create it or give another path."
        )
    ]


@pytest.mark.parametrize("options", [(), ("--processes", "1")], ids=["alone", "supervised"])
def test_a_server_that_is_down_is_waited_for(start, here, options):
    """One line when the wait begins, one when it is over; growing pauses in between."""
    (here / "far.py").write_text(FARAWAY)
    worker = start("far:queue", *options)
    worker.until("Cannot reach the store, trying again: nothing answers at faraway:1234")
    (here / "up").touch()
    assert "ERROR" not in worker.until("Can reach the store again after")
    worker.until("Ready.")
    worker.send(TERM)
    assert worker.ended() == 0
    assert sum("the store" in line for line in worker.err) == 2


def test_a_wait_for_a_server_can_be_stopped(start, here):
    (here / "far.py").write_text(FARAWAY)
    worker = start("far:queue")
    worker.until("Cannot reach the store")
    worker.send(INT)
    assert worker.ended() == 0
    assert worker.out[-1].startswith("Stopped (SIGINT)")


@pytest.mark.parametrize("option", ["--once", "--stop-when-empty"])
def test_a_worker_that_is_to_end_waits_for_no_server(start, here, option):
    (here / "far.py").write_text(FARAWAY)
    worker = start("far:queue", option)
    assert worker.ended() == 1
    assert worker.err[-1] == "Error: nothing answers at faraway:1234: connection refused"


@pytest.mark.parametrize(
    ("setting", "collects"),
    [("", 10_000), ("gc.set_threshold(50_000)", 50_000), ("gc.set_threshold(0)", 0)],
)
def test_the_garbage_collector_comes_less_often(start, stored, here, setting, collects):
    (here / "collected.py").write_text(COLLECTED.format(setting=setting))
    stored.put(("Say", {}))
    worker = start("collected:queue", "--stop-when-empty")
    assert worker.ended() == 0
    assert f"collects after {collects} True" in worker.out
