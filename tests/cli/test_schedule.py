"""The schedule command: what it lists, how it runs and ends, alone and beside others."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter

import pytest

from asyncqueue import Queue
from asyncqueue.registry import default_registry
from asyncqueue.version import __version__

from .applications import FARAWAY
from .test_worker import send_until_ended

TERM, INT = signal.SIGTERM, signal.SIGINT

CLOCKWORK = '''
import asyncio
from pathlib import Path
from asyncqueue import Job, Queue, Scheduler, Worker

queue = Queue("sqlite:///queue.db")
scheduler = Scheduler(queue)
empty = Scheduler(queue)
in_memory = Scheduler(Queue("memory://"))
inline = Scheduler(Queue("sync://"))
slow = Scheduler(queue)
worker = Worker(queue, ["ticks"], scheduler=scheduler, poll_interval=0.02)


class ClockReport(Job):
    async def handle(self, ctx): ...


class ClockTick(Job, queue="ticks", retention=0):
    """Of which nothing would be kept, if it were not scheduled."""

    async def handle(self, ctx):
        with Path("ran").open("a") as file:
            file.write(f"{ctx.job_id}\\n")


class ClockSay(Job):
    async def handle(self, ctx):
        print("said", ctx.queue, flush=True)


async def never() -> ClockReport:
    print("waiting", flush=True)
    await asyncio.Event().wait()


scheduler.cron("daily-report", "0 9 * * *", ClockReport(), timezone="Europe/Berlin")
scheduler.every("tick", 0.2, ClockTick)
in_memory.every("report", 3600, ClockReport())
inline.every("say", 0.05, ClockSay())
slow.every("slow", 0.05, never)
'''


@pytest.fixture(autouse=True)
def clockwork(here):
    (here / "clockwork.py").write_text(CLOCKWORK)
    yield
    for name in ("clockwork", "untimed"):
        sys.modules.pop(name, None)
    for kind in ("ClockReport", "ClockTick", "ClockSay"):
        default_registry._makers.pop(kind, None)


@pytest.fixture
def schedule(start):
    return lambda *args, **environment: start("schedule", *args, module="asyncqueue", **environment)


@pytest.mark.case("SCH-05", "CLI-05")
def test_the_entries_are_listed(run):
    done = run("schedule", "clockwork:scheduler", "--list")
    assert done.exit_code == 0, done.output
    headings, daily, tick = done.output.splitlines()
    assert headings.split() == ["name", "expression", "timezone", "queue", "job", "next", "due"]
    expected = ["daily-report", "0 9 * * *", "Europe/Berlin", "scheduled", "ClockReport"]
    assert [cell.strip() for cell in daily.split("  ") if cell][:5] == expected
    assert "09:00:00  in " in daily
    assert tick.split()[:6] == ["tick", "@every", "0.2s", "UTC", "ticks", "ClockTick"]


@pytest.mark.case("CLI-05")
def test_the_entries_as_json(run, here):
    done = run("schedule", "clockwork:scheduler", "--list", "--json")
    daily, tick = json.loads(done.output)
    assert daily.pop("next_due").partition("T")[2] in {"09:00:00+01:00", "09:00:00+02:00"}
    assert daily == {
        "name": "daily-report",
        "expression": "0 9 * * *",
        "timezone": "Europe/Berlin",
        "queue": "scheduled",
        "job": "ClockReport",
        "overlap": True,
    }
    assert tick["name"] == "tick"
    assert not (here / "queue.db").exists()


def test_no_entries(run):
    assert run("schedule", "clockwork:empty", "--list").output == "No entries.\n"
    assert json.loads(run("schedule", "clockwork:empty", "--list", "--json").output) == []


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("clockwork:queue", '"clockwork:queue" is of type Queue, not a Scheduler.'),
        ("clockwork", '"clockwork" does not say which scheduler; write module:attribute.'),
        ("clockwork", "clockwork.py defines: clockwork:scheduler, clockwork:empty"),
        ("clockwork:schedler", 'clockwork has no "schedler". Did you mean "scheduler"?'),
        ("x.py", '"x.py" is a file; write module:attribute, as in x:scheduler'),
        (":scheduler", '":scheduler" names no module; write module:attribute, as in app:scheduler'),
        ("untimed:queue", "no Scheduler; add one: scheduler = asyncqueue.Scheduler(queue)"),
    ],
)
def test_what_is_no_scheduler(run, here, target, line):
    (here / "untimed.py").write_text("from asyncqueue import Queue\nqueue = Queue('memory://')\n")
    done = run("schedule", target, "--list")
    assert done.exit_code == 2
    assert line in done.output


def test_a_worker_is_told_that_a_scheduler_is_none(run):
    done = run("worker", "clockwork:scheduler")
    assert done.exit_code == 2
    assert '"clockwork:scheduler" is of type Scheduler, not a Queue or a Worker.' in done.output


@pytest.mark.case("SCH-10", "CLI-05")
@pytest.mark.parametrize("number", [TERM, INT])
def test_it_runs_until_it_is_stopped(schedule, here, number):
    process = schedule("clockwork:scheduler")
    process.until('Schedule "tick" completed in')
    process.send(number)
    assert process.ended() == 0
    assert process.out[0] == f"asyncqueue {__version__} schedule, pid {process.pid}"
    assert process.out[1] == f"  driver       sqlite (sqlite:///{here}/queue.db)"
    assert process.out[2] == "  entries      2"
    assert process.out[3].split()[:2] == ["name", "expression"]
    assert [line.split()[0] for line in process.out[4:6]] == ["daily-report", "tick"]
    ready, *last = process.out[6:]
    assert ready == "Ready. Ctrl-C stops it."
    assert last == [f"{number.name}: stopping.", f"Stopped ({number.name})."]
    assert asyncio.run(waiting("ticks")) >= 1


async def waiting(name: str) -> int:
    async with Queue("sqlite:///queue.db") as queue:
        return await queue.size(name)


def test_it_says_all_of_it_as_json(schedule):
    process = schedule("clockwork:scheduler", "--json", "--log-format", "json")
    process.until("completed in")
    process.send(TERM)
    assert process.ended() == 0
    said = [json.loads(line) for line in process.out]
    assert [fact["event"] for fact in said] == ["starting", "ready", "stopping", "stopped"]
    assert [entry["name"] for entry in said[0]["entries"]] == ["daily-report", "tick"]
    logs = [json.loads(line) for line in process.err]
    (first, *_) = [fact for fact in logs if "started for" in fact["message"]]
    assert first["schedule"] == "tick"
    assert first["slot"].startswith("schedule:tick:0.2s:")


def test_jobs_of_the_sync_driver_run_in_it(schedule):
    process = schedule("clockwork:inline")
    process.until("said recurring")
    process.send(TERM)
    assert process.ended() == 0


def test_what_is_most_likely_a_mistake(schedule):
    for target, warning in [
        ("clockwork:empty", "No entries: nothing will ever be due"),
        ("clockwork:in_memory", "A memory:// queue lives in one process"),
    ]:
        process = schedule(target)
        process.until("Ready.")
        process.send(TERM)
        assert process.ended() == 0
        assert any(warning in line for line in process.err)


def test_a_store_that_cannot_be_opened(schedule, here):
    (here / "queue.db").mkdir()
    process = schedule("clockwork:scheduler")
    assert process.ended() == 1
    assert any(line.startswith("Error: ") for line in process.err)


def test_a_server_that_is_away_is_waited_for(schedule, here):
    (here / "faraway.py").write_text(
        f"{FARAWAY}\nfrom asyncqueue import Scheduler\nscheduler = Scheduler(queue)\n"
    )
    process = schedule("faraway:scheduler")
    process.until("Cannot reach the store, trying again")
    (here / "up").touch()
    process.until("Ready.")
    process.send(TERM)
    assert process.ended() == 0
    (here / "up").unlink()
    process = schedule("faraway:scheduler")
    process.until("Cannot reach the store, trying again")
    process.send(TERM)
    assert process.ended() == 0
    assert "Ready. Ctrl-C stops it." not in process.out


def test_a_second_signal_does_not_wait_for_what_is_being_dispatched(schedule):
    process = schedule("clockwork:slow")
    process.until("waiting")
    process.send(TERM)
    process.until("TERM: stopping.")
    began = time.monotonic()
    send_until_ended(process, most=2)
    assert process.ended() == 0
    assert time.monotonic() - began < 9


@pytest.mark.case("SCH-19")
def test_two_processes_dispatch_each_slot_once(schedule, start, here):
    """A worker runs each job at once: the records would be gone if nobody kept them."""
    first, second = schedule("clockwork:scheduler"), schedule("clockwork:scheduler")
    worker = start("clockwork:worker")  # A third one.
    for process in (first, second):
        process.until('Schedule "tick" started')
    ran = here / "ran"
    give_up_at = time.monotonic() + 30
    while not ran.exists() or len(ran.read_text().splitlines()) < 8:
        assert time.monotonic() < give_up_at, f"{first.said}\n{second.said}\n{worker.said}"
        time.sleep(0.05)
    for process in (first, second, worker):
        process.send(TERM)
    assert [process.ended() for process in (first, second, worker)] == [0, 0, 0]
    ids = ran.read_text().splitlines()
    assert set(Counter(ids).values()) == {1}
    numbers = sorted(int(id.rpartition(":")[2]) for id in ids)
    assert numbers[-1] - numbers[0] < 2 * len(numbers)
    said = "\n".join([*first.err, *second.err, *worker.err])
    assert "another scheduler had dispatched it" in said


@pytest.mark.case("SCH-12")
def test_a_worker_that_carries_a_scheduler(start, here):
    worker = start("clockwork:worker")
    worker.until('Schedule "tick" completed in')
    worker.until("ClockTick")
    worker.send(TERM)
    assert worker.ended() == 0
    assert (here / "ran").exists()
