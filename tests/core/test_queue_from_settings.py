from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue import Queue, Settings

if TYPE_CHECKING:
    import pytest


def test_a_queue_without_a_url_takes_it_from_its_settings(tmp_path):
    queue = Queue(settings=Settings(url=f"sqlite:///{tmp_path}/jobs.db"))
    assert queue.driver.name == "sqlite"


def test_a_queue_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUEUE_DRIVER", "sqlite")
    assert Queue.from_env().driver.name == "sqlite"


def test_without_anything_a_queue_is_in_memory():
    assert Queue().driver.name == "memory"
