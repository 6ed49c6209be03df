"""The parts that need no process: logs, signals, source files, options."""

from __future__ import annotations

import json
import logging
import os
import signal
import time

import pytest

from asyncqueue.cli import signals, sources
from asyncqueue.cli.banner import Speaker
from asyncqueue.cli.child import Child, _spawn
from asyncqueue.cli.logs import JsonFormatter, TextFormatter
from asyncqueue.cli.options import Options
from asyncqueue.cli.parameters import QUEUES
from asyncqueue.cli.serve import Service
from asyncqueue.cli.signals import Signals
from asyncqueue.cli.supervisor import Place, Supervisor
from asyncqueue.cli.text import duration, escaped
from asyncqueue.cli.worker import build, worker
from asyncqueue.record import State


def record(message: str, *args: object, name: str = "app", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "f.py", 1, message, args, None)
    made.__dict__.update(extra)
    return made


def test_a_text_record_is_one_line_whatever_it_says():
    line = TextFormatter().format(
        record("%s failed", "a\n00:00:00.000 ERROR   forged\x1b[2J\u202e")
    )
    assert "\n" not in line
    assert line.endswith(r"WARNING a\n00:00:00.000 ERROR   forged\x1b[2J\u202e failed")


def test_a_traceback_cannot_be_taken_for_a_record():
    made = record("broke")
    error = ValueError("x\n00:00:00.000 ERROR   forged")
    made.exc_info = (ValueError, error, None)
    first, *rest = TextFormatter().format(made).splitlines()
    assert first.endswith("WARNING broke")
    assert all(line.startswith("    ") for line in rest)


def test_the_own_logger_of_a_job_says_whose_line_it_is():
    made = record("hello", name="asyncqueue.job", job_name="Send\n", job_id="7")
    assert TextFormatter().format(made).endswith(r"WARNING Send\n 7: hello")


def test_glyphs_only_where_asked_for():
    assert "\x1b[33m!\x1b[0m" in TextFormatter(glyphs=True).format(record("x"))
    done = record("x", outcome=State.COMPLETED)
    assert "\x1b[32m✓\x1b[0m" in TextFormatter(glyphs=True).format(done)
    assert "\x1b" not in TextFormatter().format(record("x"))


def test_json_records_carry_what_they_are_given():
    made = record(
        "%s", "a\nb\ud800", job_id="7", job_name="Send", attempt=1, trace_id="t", odd={1: object}
    )
    fact = json.loads(JsonFormatter().format(made))
    assert (fact["level"], fact["logger"], fact["message"]) == ("warning", "app", "a\nb\\ud800")
    assert (fact["job_id"], fact["job_name"], fact["attempt"], fact["trace_id"]) == (
        "7",
        "Send",
        1,
        "t",
    )
    assert "\n" not in JsonFormatter().format(made)


class EndedError(Exception):
    pass


@pytest.fixture
def received(monkeypatch):
    """A process whose end and time are those of the test."""
    moment = [100.0]
    heard: list[int] = []

    class Loop:
        def call_soon_threadsafe(self, call, number, count):
            call(number, count)

    def end_now(code: int, text: str) -> None:
        raise EndedError(code)

    monkeypatch.setattr(signals, "end_now", end_now)
    monkeypatch.setattr(signals.time, "monotonic", lambda: moment[0])
    received = Signals()

    def arrive(after: float) -> list[int]:
        moment[0] += after
        received._handle(signal.SIGTERM, None)
        return heard

    def listen() -> None:
        received.listen(Loop(), lambda _number, count: heard.append(count))

    return received, listen, arrive


def test_a_signal_before_the_worker_started_ends_the_process(received):
    _, _, arrive = received
    with pytest.raises(EndedError, match="0"):
        arrive(0)


def test_first_drains_second_hurries_third_forces(received):
    _, listen, arrive = received
    listen()
    assert arrive(0) == [1]
    assert arrive(0.3) == [1, 2]
    with pytest.raises(EndedError, match="1"):
        arrive(0.3)


def test_a_storm_counts_as_one(received):
    _, listen, arrive = received
    listen()
    for _ in range(20):
        heard = arrive(0.004)
    assert heard == [1]


def test_a_signal_while_leaving_changes_nothing(received):
    own, listen, arrive = received
    listen()
    own.leave(12)
    assert arrive(0) == []
    assert arrive(0.3) == []
    with pytest.raises(EndedError, match="12"):
        arrive(0.3)


def test_the_first_request_wakes_whoever_bounds_the_end(received):
    own, listen, arrive = received
    waiting, own._last_resort = os.pipe()
    os.set_blocking(waiting, False)
    listen()
    assert arrive(0) == [1]
    assert os.read(waiting, 1) == b"1"
    for descriptor in (waiting, own._last_resort):
        os.close(descriptor)


def test_pauses_between_crashes_grow_to_a_bound():
    place = Place()
    assert [place.pause() for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


class OneChild:
    """What a supervisor sees of a process."""

    pid, ready_pipe = 4711, 99_999

    def __init__(self, *, ready: bool = False, crashed: bool = False) -> None:
        self.ready, self.crashed = ready, crashed
        self.code: int | None = None
        self.sent: list[int] = []

    def ended(self) -> int | None:
        return self.code

    def send(self, number: int) -> None:
        self.sent.append(number)


@pytest.fixture
def supervised(monkeypatch):
    """A supervisor of two processes that are ready, and a way to let time pass."""
    moment = [100.0]
    monkeypatch.setattr("asyncqueue.cli.supervisor.time.monotonic", lambda: moment[0])
    supervisor = Supervisor([], 2, Speaker("text"), until_empty=False, reload=False)
    for place in supervisor._places:
        place.child, place.due = OneChild(ready=True), None

    def passes(seconds: float) -> None:
        moment[0] += seconds

    yield supervisor, supervisor._places, passes
    wakeups = supervisor.wakeups
    wakeups._selector.close()
    for descriptor in (wakeups._reader, wakeups._writer):
        os.close(descriptor)


def test_a_supervisor_passes_two_requests_on_and_ends_all_with_the_third(supervised):
    supervisor, places, passes = supervised
    told = []
    for seconds in (0, 0.05, 0.1, 0.15, 0.1):  # Those that come together count as one.
        passes(seconds)
        supervisor._handle(signal.SIGTERM)
        told.append(len(places[0].child.sent))
    assert told == [1, 1, 2, 2, 3]
    expected = [signal.SIGTERM, signal.SIGTERM, signal.SIGKILL]
    assert [place.child.sent for place in places] == [expected, expected]
    assert supervisor._code == 1


def test_of_processes_that_are_restarted_one_by_one_each_waits_for_the_one_before(supervised):
    supervisor, places, _ = supervised
    first, second = (place.child for place in places)
    supervisor._handle(signal.SIGHUP)
    supervisor._roll()
    supervisor._roll()
    assert (first.sent, second.sent) == ([signal.SIGTERM], [])
    first.code = 0
    supervisor._reap()
    assert places[0].due is not None
    places[0].child = OneChild()
    supervisor._roll()
    assert second.sent == []
    places[0].child.ready = True
    supervisor._roll()
    assert second.sent == [signal.SIGTERM]


def test_a_process_that_was_replaced_meanwhile_is_not_restarted_again(supervised):
    supervisor, places, _ = supervised
    supervisor._handle(signal.SIGHUP)
    before = [place.child for place in places]
    places[0].child = after = OneChild(ready=True)
    supervisor._roll()
    assert (before[0].sent, after.sent, before[1].sent) == ([], [], [signal.SIGTERM])


def test_after_a_life_of_some_use_crashes_are_counted_anew(supervised):
    supervisor, (place, _), passes = supervised

    def pause(*, crashed: bool) -> float:
        now, place.due = time.monotonic(), None
        supervisor._after(place, OneChild(ready=not crashed, crashed=crashed), 1)
        return place.due - now

    assert [pause(crashed=True) for _ in range(3)] == [0, 0.5, 1]
    passes(10)
    assert pause(crashed=False) == 0
    assert [pause(crashed=True) for _ in range(2)] == [0, 0.5]


@pytest.mark.parametrize(("ready", "lived", "crashed"), [(0, 99, 1), (1, 0.9, 1), (1, 1.1, 0)])
def test_what_ends_before_it_was_of_any_use_has_crashed(monkeypatch, ready, lived, crashed):
    child = Child.__new__(Child)
    child.ready, child._since = bool(ready), 100.0
    monkeypatch.setattr("asyncqueue.cli.child.time.monotonic", lambda: 100.0 + lived)
    assert child.crashed is bool(crashed)


def test_no_signal_meets_a_process_that_is_starting(monkeypatch):
    """It inherits those that are held back."""
    held = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    def popen(*_args: object, **_options: object) -> None:
        held.extend(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    monkeypatch.setattr("asyncqueue.cli.child.subprocess.Popen", popen)
    _spawn(["true"], (), keep_bytecode=True)
    assert set(held) == before | set(signals.HANDLED)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_after_a_signal_a_process_ends_well_whatever_limit_it_reached():
    service = Service.__new__(Service)
    service._child = True
    for number, codes in ((None, [12, 13, 0]), (signal.SIGTERM, [0, 0, 0])):
        service._signal = number
        assert [service._code(reason) for reason in ("max_memory", "max_jobs", "empty")] == codes


def test_a_zero_that_is_given_outranks_the_settings(here, monkeypatch):
    monkeypatch.setenv("QUEUE_GRACE", "10")
    monkeypatch.setenv("QUEUE_URL", "sqlite:///queue.db")
    for grace, expected in (("0", 0), (None, 10)):
        given = [] if grace is None else ["--grace", grace]
        ctx = worker.make_context("worker", [*given, "--drain-timeout", "none"])
        built = build(Options(**ctx.params))
        assert (built.timing.grace, built.timing.drain) == (expected, None)


def test_source_files_that_appear_change_or_go_are_noticed(here):
    (here / "package").mkdir()
    kept, changed, gone = (here / "package" / f"{name}.py" for name in ("kept", "changed", "gone"))
    for path in (kept, changed, gone):
        path.write_text("")
    for folder in ("__pycache__", ".hidden", "venv"):
        (here / folder).mkdir()
        (here / folder / "skipped.py").write_text("")
    (here / "venv" / "pyvenv.cfg").write_text("")
    before = sources.stamps([here])
    assert sorted(before) == sorted(map(str, (kept, changed, gone)))
    gone.unlink()
    os.utime(changed, ns=(1, 1))
    (here / "new.py").write_text("")
    different = sources.differences(before, sources.stamps([here]))
    assert different == sorted(map(str, (changed, gone, here / "new.py")))


def test_the_folders_to_watch_are_here_and_where_the_target_is(here, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far_away").mkdir()
    (elsewhere / "far_away" / "__init__.py").write_text("raise RuntimeError('not imported')")
    monkeypatch.syspath_prepend(elsewhere)
    assert sources.roots_of(["far_away.jobs:queue"]) == [here, elsewhere / "far_away"]


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("emails", {"emails": None}),
        ("high, default", {"high": None, "default": None}),
        ("emails=4,emails:low", {"emails": 4, "emails:low": None}),
    ],
)
def test_queues_and_slots(text, slots):
    assert QUEUES.convert(text, None, None) == slots


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.045, "45 ms"), (1, "1 s"), (60, "1 min"), (90, "90 s"), (7200, "2 h"),
     (604800, "7 d"), (None, "none"), (float("inf"), "none")],
)  # fmt: skip
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_escaping_leaves_other_text_alone():
    assert escaped("grüße ✓\t\x00") == r"grüße ✓\t\x00"
