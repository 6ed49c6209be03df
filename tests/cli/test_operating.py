"""The verbs for operators, on an SQLite file."""

from __future__ import annotations

import asyncio
import json
import types
from typing import TYPE_CHECKING

import pytest

from asyncqueue import JobNotFound, Queue, Registry
from asyncqueue.cli import ids
from asyncqueue.queue.failed import FailedStore
from asyncqueue.record import Presence
from asyncqueue.testing import drain

if TYPE_CHECKING:
    from .stored import Stored


def data(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_version(run):
    assert run("--version").stdout.startswith("asyncqueue ")


def test_without_arguments_the_help_is_shown(run):
    for args in ((), ("failed",)):
        result = run(*args)
        assert result.exit_code == 2
        assert "Commands:" in result.stdout
        assert result.stderr == ""


def test_stats_and_size(run, stored: Stored):
    stored.put(("Send", {}), ("Send", {}), queue="emails")
    stored.put_failed("f1")
    lines = run("stats").stdout.splitlines()
    assert lines[0].split() == [
        "queue", "pending", "delayed", "processing", "completed", "failed", "oldest", "paused",
    ]  # fmt: skip
    assert lines[1].split()[:6] == ["default", "0", "0", "0", "0", "1"]
    assert lines[2].split()[:6] == ["emails", "2", "0", "0", "0", "0"]
    assert data(run("stats", "--json"))["emails"]["pending"] == 2
    assert run("size", "emails").stdout == "2\n"
    assert data(run("size", "--json")) == {"queue": "default", "size": 0}


@pytest.mark.case("CLI-07")
def test_pause_and_resume(run, stored: Stored):
    assert "emails is paused" in run("pause", "emails").stdout
    assert data(run("stats", "--json"))["emails"]["paused"] is True
    assert data(run("resume", "emails", "--json")) == {"queue": "emails", "paused": False}
    assert data(run("stats", "--json")).get("emails", {}).get("paused", False) is False
    lane = run("pause", "emails:high")
    assert lane.exit_code == 2
    assert lane.stderr.startswith("Error: Only whole queues can be paused")


@pytest.mark.case("CLI-07")
def test_clear_touches_only_its_queue_and_no_failed_job(run, stored: Stored):
    (other,) = stored.put(("Send", {}))
    stored.put_failed("f1", queue="emails")
    stored.put(("Send", {}), ("Send", {}), queue="emails")
    assert run("clear", "emails").stdout == "Removed 2 waiting jobs of emails.\n"
    assert stored.states() == {other: "pending", "f1": "failed"}
    assert data(run("clear", "emails", "--json")) == {"queue": "emails", "removed": 0}


def test_clear_asks_on_a_terminal_only(run, stored: Stored, monkeypatch):
    stored.put(("Send", {}))
    terminal = types.SimpleNamespace(stdin=types.SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("asyncqueue.cli.queues.sys", terminal)
    refused = run("clear", "default", input="n\n")
    assert refused.exit_code == 1
    assert "Error: Aborted; nothing was changed." in refused.stderr
    assert len(stored.states()) == 1
    assert run("clear", "default", "--yes").stdout == "Removed 1 waiting job of default.\n"


def test_jobs_by_queue_state_name_and_page(run, stored: Stored):
    stored.put(("Send", {}), ("Pack", {}), queue="emails")
    stored.put_failed("f1")
    table = run("jobs").stdout.splitlines()
    assert table[0].split() == ["id", "name", "queue", "state", "attempts", "created", "error"]
    assert len(table) == 4
    assert len(data(run("jobs", "--queue", "emails", "--json"))["items"]) == 2
    assert [job["id"] for job in data(run("jobs", "--state", "failed", "--json"))["items"]] == [
        "f1"
    ]
    assert [job["name"] for job in data(run("jobs", "--name", "Pack", "--json"))["items"]] == [
        "Pack"
    ]
    first = data(run("jobs", "--limit", "2", "--json"))
    rest = data(run("jobs", "--cursor", first["next"], "--json"))
    assert len({job["id"] for job in first["items"] + rest["items"]}) == 3
    assert "--cursor" in run("jobs", "--limit", "1").stderr


def test_show_and_cancel_take_the_beginning_of_an_id(run, stored: Stored):
    stored.put_as("abcd-1", "abcd-2", "efgh-1")
    shown = run("show", "efgh").stdout
    assert shown.splitlines()[0].split() == ["id", "efgh-1"]
    assert data(run("show", "efgh", "--json"))["state"] == "pending"
    assert run("cancel", "abcd-1").stdout == "abcd-1: cancelled.\n"
    again = run("cancel", "abcd-1")
    assert (again.exit_code, again.stderr) == (
        1,
        "Error: Job abcd-1 is cancelled already; there is nothing to cancel.\n",
    )
    assert stored.states()["abcd-2"] == "pending"


@pytest.mark.parametrize(
    "verb", [("show",), ("cancel",), ("failed", "show"), ("failed", "retry"), ("failed", "forget")]
)
def test_ambiguous_beginnings_list_the_candidates(run, stored: Stored, verb):
    stored.put_failed("abcd-1", "abcd-2", "abcd-3", "abcd-4")
    result = run(*verb, "abcd")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: 'abcd' is the beginning of 4 ids; give more of the one you mean:",
        "  abcd-4 (Send)",
        "  abcd-3 (Send)",
        "  abcd-2 (Send) and 1 more",
    ]
    assert set(stored.states().values()) == {"failed"}


def test_beginnings_are_looked_for_among_the_newest_jobs(run, stored: Stored, monkeypatch):
    """A store may hold millions: the whole id of an older one is found all the same."""
    monkeypatch.setattr(ids, "LOOKED_AT", 4)
    monkeypatch.setattr(ids, "_PAGE", 2)
    stored.put_as("older-1", "abcd-2", "abcd-3", "abcd-4", "newer-5")
    assert run("show", "newer").exit_code == run("show", "older-1").exit_code == 0
    missing = run("show", "older")
    assert (missing.exit_code, missing.stderr.splitlines()) == (
        1,
        [
            (
                "Error: No job has the id 'older', and of the newest 4 none has one that begins "
                "with it."
            ),
            "  There are older ones, which only a whole id finds.",
        ],
    )
    assert "is the beginning of 3 ids" in run("cancel", "abcd").stderr


def test_unknown_and_short_ids(run, stored: Stored):
    missing = run("show", "zzzz")
    assert (missing.exit_code, missing.stderr.splitlines()) == (
        1,
        [
            "Error: No job has the id 'zzzz', nor one that begins with it.",
            "  asyncqueue jobs shows those there are.",
        ],
    )
    assert run("cancel", "zz").exit_code == 2


@pytest.mark.case("CLI-06")
def test_failed_list_and_show(run, stored: Stored):
    stored.put_failed("abcd-1", error="ValueError: two\nlines \x1b[31m")
    row = run("failed", "list").stdout.splitlines()[1]
    assert row.startswith("abcd-1  Send  default         1  ")
    assert row.endswith(r"ValueError: two\nlines \x1b[31m")
    page = data(run("failed", "list", "--json"))
    assert (page["total"], page["items"][0]["payload"]) == (1, {"who": "bob"})
    shown = run("failed", "show", "abcd").stdout
    assert 'payload    {"who":"bob"}' in shown
    assert "\x1b" not in shown


@pytest.mark.case("CLI-06")
def test_failed_retry_by_id_queue_name_and_all(run, stored: Stored):
    stored.put_failed("a-001", "a-002")
    stored.put_failed("b-001", queue="emails")
    stored.put_failed("c-001", name="Pack")
    stored.put_failed("d-001", name="Fold")
    assert run("failed", "retry", "a-001").stdout == "1 job back on the queue.\n"
    assert data(run("failed", "retry", "--queue", "emails", "--json")) == {"retried": 1}
    assert data(run("failed", "retry", "--name", "Pack", "--json")) == {"retried": 1}
    states = stored.states()
    assert {id for id, state in states.items() if state == "failed"} == {"a-002", "d-001"}
    assert data(run("failed", "retry", "--all", "--json")) == {"retried": 2}
    assert set(stored.states().values()) == {"pending"}


@pytest.mark.parametrize("args", [(), ("a-001", "--all"), ("--all", "--queue", "x")])
def test_failed_retry_wants_to_know_which(run, stored: Stored, args):
    result = run("failed", "retry", *args)
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: Say which: ids, or --queue and --name, or --all\n",
    )


@pytest.mark.case("FLD-18", "CLI-06")
@pytest.mark.parametrize(("verb", "left"), [("retry", "pending"), ("forget", None)])
def test_an_unknown_id_of_several_is_named_and_stops_nothing(run, stored: Stored, verb, left):
    stored.put_failed("a-001", "b-001", "c-001")
    result = run("failed", verb, "a-001", "zzzz", "b-00", "yyyy")
    assert result.exit_code == 1
    assert result.stdout.startswith(("2 jobs back", "Removed 2 failed jobs"))
    assert result.stderr.splitlines()[0] == (
        "Error: No failed job has the id 'zzzz' or 'yyyy', nor one that begins so."
    )
    states = stored.states()
    assert [states.get(id) for id in ("a-001", "b-001", "c-001")] == [left, left, "failed"]
    told = run("failed", verb, "c-001", "zzzz", "--json")
    assert json.loads(told.stdout)["missing"] == ["zzzz"]
    assert json.loads(told.stderr)["error"]["type"] == "JobNotFound"


@pytest.mark.parametrize("verb", ["retry", "forget"])
def test_an_ambiguous_id_of_several_changes_nothing(run, stored: Stored, verb):
    stored.put_failed("a-001", "abcd-1", "abcd-2")
    assert run("failed", verb, "a-001", "abcd").exit_code == 2
    assert set(stored.states().values()) == {"failed"}


def test_a_job_that_ends_while_it_is_cancelled_is_told_as_it_is_then(
    run, stored: Stored, monkeypatch
):
    (id,) = stored.put(("Send", {}))
    cancel = Queue.cancel

    async def too_late(queue: Queue, id: str) -> bool:
        await cancel(queue, id)
        return False

    monkeypatch.setattr(Queue, "cancel", too_late)
    told = run("cancel", id)
    assert told.exit_code == 1
    assert f"Job {id} is cancelled already; there is nothing to cancel." in told.stderr


@pytest.mark.parametrize("verb", ["retry", "forget"])
def test_a_failed_job_that_somebody_else_took_first_is_named(
    run, stored: Stored, monkeypatch, verb
):
    stored.put_failed("a-001", "b-001")
    act = getattr(FailedStore, verb)

    async def too_late(failed: FailedStore, id: str) -> None:
        if id == "a-001":
            raise JobNotFound(id)
        await act(failed, id)

    monkeypatch.setattr(FailedStore, verb, too_late)
    told = run("failed", verb, "a-001", "b-001", "--json")
    count = {"retry": "retried", "forget": "removed"}[verb]
    assert json.loads(told.stdout) == {count: 1, "missing": ["a-001"]}
    assert told.exit_code == 1


def test_flush_asks_on_a_terminal_only(run, stored: Stored, monkeypatch):
    stored.put_failed("a-001")
    terminal = types.SimpleNamespace(stdin=types.SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("asyncqueue.cli.queues.sys", terminal)
    refused = run("failed", "flush", input="n\n")
    assert refused.exit_code == 1
    assert "Remove failed jobs, all?" in refused.stderr
    assert stored.states() == {"a-001": "failed"}
    assert run("failed", "flush", "--yes").stdout == "Removed 1 failed job.\n"


def test_what_a_job_left_behind_cannot_steer_the_terminal(run, stored: Stored):
    stored.put_failed("a-001", error="E: \x08\u202e\nsecond line")
    shown = run("failed", "show", "a-001").stdout
    assert not {"\x08", "\u202e"} & set(shown)
    assert r"E: \x08\u202e" in shown
    assert "second line" in [line.strip() for line in shown.splitlines()]
    assert "second line" not in shown.splitlines()


@pytest.mark.case("CLI-07", "MON-15")
def test_monitor_tells_the_busy_queues(run, stored: Stored):
    stored.put(*[("Send", {})] * 3, queue="emails")
    stored.put(("Send", {}))
    busy = run("monitor", "emails", "default", "--threshold", "3")
    assert busy.exit_code == 1
    assert busy.stdout.split() == ["queue", "size", "emails", "3"]
    assert json.loads(run("monitor", "emails", "--threshold", "2", "--json").stdout) == {
        "busy": {"emails": 3}
    }
    quiet = run("monitor", "emails", "default", "--threshold", "4")
    assert (quiet.exit_code, quiet.stdout) == (0, "Fewer than 4 jobs in emails, default.\n")
    assert run("monitor").exit_code == 0
    assert run("monitor", "--threshold", "0").exit_code == 2


@pytest.mark.case("CLI-06")
def test_forget_prune_and_flush(run, stored: Stored):
    stored.put_failed("a-001", "b-001", "c-001")
    assert run("failed", "forget", "a-001").stdout == "Removed 1 failed job.\n"
    assert data(run("failed", "prune", "--older-than", "1h", "--json")) == {"removed": 0}
    assert run("failed", "prune").exit_code == 2
    assert data(run("failed", "flush", "--older-than", "1h", "--json")) == {"removed": 0}
    assert run("failed", "flush").stdout == "Removed 2 failed jobs.\n"
    assert stored.states() == {}


def test_workers_without_any(run, stored: Stored):
    assert run("workers").stdout == "No live workers.\n"
    assert data(run("workers", "--json")) == []


def test_migrate_creates_the_schema_and_says_where(run, here):
    result = run("migrate", "--url", f"sqlite:///{here}/new.db")
    *applied, last = result.stdout.splitlines()
    assert last == f"The schema in sqlite:///{here}/new.db is up to date."
    assert [line[:16] for line in applied[:2]] == ["Applied 001 jobs", "Applied 001 fail"]
    assert (here / "new.db").exists()
    again = data(run("migrate", "--url", f"sqlite:///{here}/new.db", "--json"))
    assert again == {"store": f"sqlite:///{here}/new.db", "ready": True, "applied": []}


def test_migrate_prints_sql_without_a_server(run):
    result = run("migrate", "--sql", "--url", "postgresql://nobody@127.0.0.1:1/nowhere?schema=q")
    assert result.exit_code == 0
    assert result.stdout.startswith('BEGIN;\n\nCREATE SCHEMA IF NOT EXISTS "q";\n')
    assert result.stdout.endswith("COMMIT;\n")
    assert "{" not in result.stdout


def test_migrate_prints_sql_from_a_version(run):
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    whole = run("migrate", "--sql", "--url", url).stdout
    since = run("migrate", "--sql", "--from", "1", "--url", url).stdout
    assert "CREATE TABLE" in whole
    assert 'CREATE TABLE "public"."jobs"' not in since
    assert since.startswith("BEGIN;\n\nALTER INDEX")
    beyond = run("migrate", "--sql", "--from", "99", "--url", url)
    assert beyond.exit_code == 1
    assert "There is no version 99" in beyond.stderr
    assert run("migrate", "--from", "1", "--url", url).exit_code == 2


def test_migrate_has_no_sql_for_a_store_without(run, here):
    result = run("migrate", "--sql", "--url", f"sqlite:///{here}/new.db")
    assert result.exit_code == 1
    assert "cannot print its schema" in result.stderr
    assert not (here / "new.db").exists()


def test_memory_is_refused_because_nothing_of_it_can_be_seen(run):
    result = run("stats")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[0] == (
        "Error: A memory:// queue lives in the process that made it; from here nothing of it "
        "can be seen."
    )


def test_errors_are_json_too(run):
    result = run("stats", "--url", "sqlite:////no/such/dir/q.db", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert (error["type"], error["exit_code"]) == ("DriverUnavailable", 1)
    usage = run("jobs", "--limit", "x", "--json")
    assert json.loads(usage.stderr)["error"]["exit_code"] == 2


def test_passwords_in_urls_are_masked(run):
    result = run("stats", "--url", "rabbit://bob:hunter2@host/x")
    assert result.exit_code == 2
    assert "hunter2" not in result.output


@pytest.mark.case("CLI-07")
def test_restart_asks_the_workers_that_live(run, stored: Stored):
    assert run("restart").stdout == "No live workers.\n"
    refused = run("restart", "nobody")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: No live worker has the id 'nobody'.")
    assert data(run("restart", "--json")) == {"asked": []}


def test_restart_names_those_that_do_not_live(run, stored: Stored):
    async def announce() -> None:
        async with stored.queue() as queue:
            await queue.driver.announce(Presence("w-1", "host", 1, ["default"], 3, 0.0), 60)

    asyncio.run(announce())
    told = run("restart", "w-1", "nobody")
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: No live worker has the id 'nobody'.")
    assert data(run("restart", "w-1", "--json")) == {"asked": ["w-1"]}


@pytest.mark.case("SEC-03")
def test_encrypted_payloads_are_shown_to_those_who_have_the_key(run, stored: Stored, monkeypatch):
    async def fail_one() -> str:
        keys = {"signing_keys": ["s"], "encryption_keys": ["ab" * 32]}
        async with Queue(stored.url, registry=Registry(), **keys) as queue:
            queue.registry.register("Send", dict)
            handle = await queue.dispatch_named("Send", {"who": "bob"})
            await drain(queue)
        return handle.id

    id = asyncio.run(fail_one())
    hidden = run("failed", "show", id).stdout
    assert "bob" not in hidden
    assert "name       Send" in hidden
    monkeypatch.setenv("QUEUE_SIGNING_KEYS", "s")
    monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", "ab" * 32)
    assert 'payload    {"who":"bob"}' in run("failed", "show", id).stdout
