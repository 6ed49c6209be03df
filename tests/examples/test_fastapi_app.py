"""The FastAPI example, over real HTTP: the worker apart, killed in the middle; and embedded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Queue, Registry, State
from asyncqueue.record import Settlement, Source
from tests.examples.serving import program, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from asyncqueue import JobInfo

WORKER = ("asyncqueue.worker", "fastapi_app:queue")
URL = "sqlite:///exports.db"
SETTINGS = {"QUEUE_URL": URL, "QUEUE_LEASE": "1.5", "SECONDS_PER_MONTH": "0.02"}


def request(client: httpx.Client, **wanted: int) -> str:
    answer = client.post("/exports", json=wanted)
    assert answer.status_code == 202
    return answer.json()["id"]


def show(client: httpx.Client, id: str) -> dict[str, Any]:
    return client.get(f"/exports/{id}").raise_for_status().json()


def runs(folder: Path) -> list[tuple[str, int]]:
    """The id of the job and the process of every run, from the audit log."""
    log = folder / "exports" / "audit.log"
    if not log.exists():
        return []
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(id, int(pid)) for id, _, pid in lines]


async def inspect(folder: Path, id: str) -> JobInfo:
    async with Queue(f"sqlite:///{folder}/exports.db") as queue:
        return await queue.status(id)


def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "fastapi_app:app", **SETTINGS) as (_, client):
        ids = [request(client, customer=number, months=6) for number in range(1, 41)]
        with program(tmp_path, "worker", *WORKER, **SETTINGS) as worker:
            until(lambda: len(runs(tmp_path)) >= 15)
            worker.kill()
        states = {id: show(client, id)["state"] for id in ids}
        in_hand = {id for id, state in states.items() if state == "processing"}
        assert in_hand
        assert "completed" in states.values() or "pending" in states.values()
        with program(tmp_path, "worker", *WORKER, **SETTINGS) as worker:
            until(lambda: all(show(client, id)["state"] == "completed" for id in ids))
            assert worker.terminate() == 0, worker.output
        twice = {id for id, times in Counter(id for id, _ in runs(tmp_path)).items() if times > 1}
        assert twice <= in_hand
        for customer, id in enumerate(ids, start=1):
            lines = client.get(f"/exports/{id}/file").raise_for_status().text.splitlines()
            assert lines == ["month,total", *(f"{m},{customer * m}" for m in range(1, 7))]


async def test_the_embedded_worker_gives_back_what_it_runs(tmp_path: Path) -> None:
    """SIGTERM of the application: its worker stops first, and the job waits for the next one."""
    embedded = {**SETTINGS, "EMBEDDED_WORKER": "1"}
    with serving(tmp_path, "fastapi_app:app", **embedded) as (web, client):
        short = request(client, customer=1, months=1)
        until(lambda: show(client, short)["state"] == "completed")
        long = request(client, customer=2, months=1200)
        until(lambda: show(client, long)["percent"] > 0)
        web.terminate()
    info = await inspect(tmp_path, long)
    assert (info.state, info.attempts) == (State.PENDING, 0), web.output
    with serving(tmp_path, "fastapi_app:app", **embedded) as (web, client):
        until(lambda: show(client, long)["state"] == "processing")
        client.delete(f"/exports/{long}").raise_for_status()
        until(lambda: show(client, long)["state"] == "cancelled")


def test_requests_are_checked_and_repeatable(tmp_path: Path) -> None:
    with serving(tmp_path, "fastapi_app:app", **SETTINGS) as (_, client):
        key = {"Idempotency-Key": "order-export-1"}
        answers = [client.post("/exports", json={"customer": 1}, headers=key) for _ in range(2)]
        assert [answer.json()["id"] for answer in answers] == ["order-export-1"] * 2
        assert client.get("/exports/order-export-1/file").status_code == 409
        assert client.get("/exports/unknown").status_code == 404
        assert client.post("/exports", json={"customer": 0}).status_code == 422
        outside = {"Idempotency-Key": "../../etc/passwd"}
        assert client.post("/exports", json={"customer": 1}, headers=outside).status_code == 422


async def fail(folder: Path, count: int) -> list[str]:
    """Failed exports, the newest last."""
    async with Queue(f"sqlite:///{folder}/exports.db", registry=Registry()) as queue:
        queue.registry.register("ExportOrders", dict)
        fields = {"customer": 1, "months": 1}
        ids = [(await queue.dispatch_named("ExportOrders", fields)).id for _ in range(count)]
        claimed = await queue.driver.claim([Source("default")], count, 30, "w")
        ends = [
            Settlement(claim.id, claim.token, State.FAILED, 5, error="OSError: no space")
            for claim in claimed.claims
        ]
        for end in ends:
            await queue.driver.settle([end])
        return ids


@pytest.mark.case("FLD-14", "FLD-15")
async def test_failed_exports_are_listed_and_retried(tmp_path: Path) -> None:
    ids = await fail(tmp_path, 80)
    with serving(tmp_path, "fastapi_app:app", **SETTINGS) as (_, client):
        first = client.get("/failed").raise_for_status().json()
        rest = client.get("/failed", params={"limit": 50, "offset": 50}).raise_for_status().json()
        assert (len(first["items"]), len(rest["items"])) == (50, 30)
        assert first["total"] == rest["total"] == 80
        assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
        assert first["items"][0]["error"] == "OSError: no space"
        answer = client.post(f"/failed/{ids[0]}/retry").raise_for_status().json()
        assert answer == {"message": f"{ids[0]} is back on its queue"}
        assert show(client, ids[0])["state"] == "pending"
        assert client.post(f"/failed/{ids[0]}/retry").status_code == 404
        assert client.post("/failed/unknown/retry").status_code == 404
        assert client.get("/failed").json()["total"] == 79
