"""The parts that need no process: logs, signals, source files, options."""

from __future__ import annotations

import json
import logging
import os
import signal

import pytest

from asyncqueue.cli import signals, sources
from asyncqueue.cli.logs import JsonFormatter, TextFormatter
from asyncqueue.cli.parameters import QUEUES
from asyncqueue.cli.signals import Signals
from asyncqueue.cli.supervisor import Place
from asyncqueue.cli.text import duration, escaped
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


def test_pauses_between_crashes_grow_to_a_bound():
    place = Place()
    assert [place.pause() for _ in range(9)] == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


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
