"""Which files are indexed where Python comes without some of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.demo import broken, files
from asyncqueue.demo.files import installed_packages, select, standard_library
from asyncqueue.demo.folder import Folder
from asyncqueue.demo.main import main
from asyncqueue.demo.measure import measure

if TYPE_CHECKING:
    from pathlib import Path


def plant(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("text\n")
    return directory


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return plant(tmp_path / "library", "b.py", "a.py", "site-packages/c.py")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    return plant(tmp_path / "site-packages", "d.py")


def test_a_small_library_is_joined_by_packages(library: Path, packages: Path) -> None:
    selection = select(library, 100, [packages, packages.parent / "nothing"])
    assert selection.manifest.paths == ["a.py", "b.py", str(packages / "d.py")]
    assert selection.directories == [str(library), str(packages)]
    assert selection.total_bytes == 15
    assert not selection.has_broken_data


@pytest.mark.parametrize(("enough", "limit"), [(2, 100), (100, 2)])
def test_a_large_library_is_not(
    library: Path, packages: Path, monkeypatch: pytest.MonkeyPatch, enough: int, limit: int
) -> None:
    monkeypatch.setattr(files, "ENOUGH", enough)
    selection = select(library, limit, [packages])
    assert selection.manifest.paths == ["a.py", "b.py"]
    assert selection.directories == [str(library)]


def test_a_library_is_known_by_its_broken_data(library: Path, packages: Path) -> None:
    plant(packages, "test/cjkencodings/big5.txt")
    assert not select(library, 1, [packages]).has_broken_data
    plant(library, "test/cjkencodings/big5.txt")
    assert select(library, 1, [packages]).has_broken_data


def test_packages_are_installed_outside_of_the_library() -> None:
    places = installed_packages()
    assert places
    assert standard_library() not in places


def test_broken_files_cannot_be_indexed(tmp_path: Path) -> None:
    names = broken.write(tmp_path / "broken")
    assert len(names) == broken.COUNT
    (tmp_path / "lock").touch()
    for name in names:
        with pytest.raises((SyntaxError, ValueError)):
            measure(tmp_path / name, tmp_path / "lock")


def test_broken_files_are_counted_like_any_other(
    library: Path,
    packages: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A whole demo on a Python that has next to nothing."""
    monkeypatch.setattr("asyncqueue.demo.main.standard_library", lambda: library)
    monkeypatch.setattr("asyncqueue.demo.main.installed_packages", lambda: [packages])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["--keep"]) == 0
    (directory,) = tmp_path.glob("asyncqueue-demo-*")
    output = capsys.readouterr().out
    assert f"some of them belong to installed packages:\n{packages}." in output
    assert f"the demo writes to {Folder(directory).broken}, stand in for it." in output
    assert f"files {3 + broken.COUNT:>12}" in output
    assert f"completed {3:>8}" in output
    assert f"failed {broken.COUNT:>11}" in output
    assert "The books balance." in output
