from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asyncqueue.version import __version__

if TYPE_CHECKING:
    from .stored import Stored


def findings(result) -> dict[str, dict]:
    return {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_a_fresh_store_is_fine(run, stored: Stored):
    result = run("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Nothing is wrong."
    found = findings(run("doctor", "--json"))
    assert found["asyncqueue"]["text"] == __version__
    assert found["journal mode"]["text"] == "wal"
    assert found["synchronous"]["text"].startswith("FULL")
    assert found["workers"]["level"] == "warning"
    assert {finding["level"] for finding in found.values()} <= {"ok", "warning"}


def test_waiting_jobs_without_a_worker_are_wrong(run, stored: Stored):
    stored.put(("Send", {}), queue="emails")
    result = run("doctor")
    assert result.exit_code == 1
    assert "WRONG waiting" in result.stdout
    assert "no live worker serves emails (1 job)" in result.stdout


def test_failed_and_paused_are_pointed_out(run, stored: Stored):
    stored.put_failed("f1")
    run("pause", "emails")
    found = findings(run("doctor", "--json"))
    assert found["failed"]["text"] == "1 job; asyncqueue failed list"
    assert found["paused"]["text"] == "emails; asyncqueue resume NAME"


def test_kinds_nobody_registered_are_wrong(run, stored: Stored, here):
    stored.put(("Ghost", {}))
    (here / "doctored.py").write_text(
        "import asyncqueue\n"
        f"queue = asyncqueue.Queue({stored.url!r}, registry=asyncqueue.Registry())\n"
    )
    found = findings(run("doctor", "--app", "doctored:queue", "--json"))
    assert found["kinds"]["level"] == "wrong"
    assert found["kinds"]["text"].startswith("nobody registered Ghost;")


def test_a_store_that_cannot_be_reached_is_the_finding(run):
    result = run("doctor", "--url", "sqlite:////no/such/dir/q.db", "--json")
    assert result.exit_code == 1
    assert findings(result)["store"]["text"].startswith("The database /no/such/dir/q.db cannot")


def test_a_url_that_cannot_be_understood_is_the_finding(run):
    result = run("doctor", "--url", "sqlite://q.db", "--json")
    assert result.exit_code == 1
    assert "names no file" in findings(result)["queue"]["text"]


def test_memory_is_a_warning(run):
    result = run("doctor", "--json")
    assert result.exit_code == 0
    assert findings(result)["driver"]["level"] == "warning"


class TestKeys:
    def test_off_is_fine(self, run, stored: Stored):
        stored.put(("Send", {}))
        found = findings(run("doctor", "--json"))
        for name in ("signing", "encryption"):
            assert found[name]["level"] == "ok"
            assert found[name]["text"].startswith("off: ")
        assert found["payloads"]["level"] == "ok"

    def test_on_is_told_without_the_keys(self, run, stored: Stored, monkeypatch):
        monkeypatch.setenv("QUEUE_SIGNING_KEYS", f"{'s3cret' * 5},{'older' * 5}")
        monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", f"{'ab' * 32},{'cd' * 32}")
        result = run("doctor", "--json")
        found = findings(result)
        assert found["signing"] == {"name": "signing", "level": "ok", "text": "on, with 2 keys"}
        assert found["encryption"]["level"] == "ok"
        assert found["encryption"]["text"].startswith("on, with the key ")
        for secret in ("s3cret", "older", "abab", "cdcd"):
            assert secret not in result.output

    def test_a_key_that_is_easily_guessed(self, run, stored: Stored, monkeypatch):
        monkeypatch.setenv("QUEUE_SIGNING_KEYS", "s3cret")
        found = findings(run("doctor", "--json"))
        assert found["signing"]["level"] == "warning"
        assert "6 bytes" in found["signing"]["text"]

    def test_jobs_that_these_keys_do_not_open_are_wrong(self, run, stored: Stored, monkeypatch):
        stored.put(("Send", {}), ("Send", {}))
        monkeypatch.setenv("QUEUE_SIGNING_KEYS", "s3cret" * 5)
        result = run("doctor", "--json")
        assert result.exit_code == 1
        text = findings(result)["payloads"]["text"]
        assert text.startswith("2 waiting jobs would be refused; Send: it is not signed")

    def test_a_key_that_cannot_be_used_is_the_finding(self, run, stored: Stored, monkeypatch):
        monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", "s3cret")
        result = run("doctor", "--json")
        assert result.exit_code == 1
        assert "QUEUE_ENCRYPTION_KEYS" in findings(result)["queue"]["text"]
        assert "s3cret" not in result.output
