"""The examples that the README shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.examples.serving import EXAMPLES, program, serving, until

if TYPE_CHECKING:
    from pathlib import Path


def test_quickstart(tmp_path: Path) -> None:
    with program(tmp_path, "quickstart", "quickstart") as quickstart:
        assert quickstart.process.wait(20) == 0, quickstart.output
    assert quickstart.output == "Hello, Ada! This is attempt 1.\n"


def test_readme_fastapi(tmp_path: Path) -> None:
    with serving(tmp_path, "readme_fastapi:app") as (_, client):
        answer = client.post("/users", params={"email": "ada@example.org"})
        assert answer.status_code == 202
        job = f"/jobs/{answer.json()['job']}"
        assert client.get(job).json()["state"] == "pending"
        with program(tmp_path, "worker", "asyncqueue.worker", "readme_fastapi:queue"):
            until(lambda: client.get(job).json()["state"] == "completed")
        assert client.get(job).json()["result"] == "Welcome, ada@example.org!"


def test_readme_fastapi_is_as_short_as_the_readme_says() -> None:
    assert len((EXAMPLES / "readme_fastapi.py").read_text().splitlines()) <= 25
