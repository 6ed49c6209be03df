from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from asyncqueue.demo.journal import read
from tests.demo.running import LARGE, Demo, plant_tree, until

if TYPE_CHECKING:
    from asyncqueue.demo.folder import Folder


@pytest.fixture(scope="session")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A demo that ended well, in circumstances that were not the best, and what it left."""
    place = tmp_path_factory.mktemp("a place")
    plant_tree(place / "some sources", 30)
    home = place / "read only"
    home.mkdir(mode=0o500)
    hostile = {"HOME": str(home), "QUEUE_URL": "redis://192.0.2.1", "QUEUE_TABLE": "other"}
    demo = Demo(place / "some sources", place / "temporary", "--keep", **hostile)
    try:
        occupy_the_large_file_lock(demo.folder)
        assert demo.ended() == 0, demo.output
    finally:
        demo.stop()
    return demo


def occupy_the_large_file_lock(folder: Folder) -> None:
    """Work on a large file until the demo has given one of its own back for that."""
    until(folder.large_file_lock.exists)
    with folder.large_file_lock.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        until(lambda: given_back(folder, LARGE))


def given_back(folder: Folder, path: str) -> bool:
    return any(entry.event == "again" and entry.path == path for entry in read(folder.journal))
