"""Applies each defect of this folder to a copy and runs the tests that must notice it.

``python -m tests.defects [--trust] [NAME…]``; only those whose names contain one of these. A patch
begins with what breaks, and then, after ``Noticed by:``, what to give to pytest. Fails where a
defect survives, where its patch no longer applies, and where the tests fail without it, which
``--trust`` does not try.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
COPIED: Final = (
    "asyncqueue",
    "tests",
    "docs",
    "_asyncqueue_pytest.py",
    "pyproject.toml",
    "README.md",
)
NOTICED_BY: Final = "Noticed by:"
PATIENCE: Final = 300
PYTEST: Final = ("-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")
TESTS_FAILED: Final = 1


@dataclass(frozen=True)
class Defect:
    """One patch."""

    path: Path
    what: str
    tests: tuple[str, ...]


def defects(wanted: list[str]) -> list[Defect]:
    """Those whose names contain one of these; all if none is given."""
    found = []
    for path in sorted(HERE.glob("*.patch")):
        if not wanted or any(part in path.stem for part in wanted):
            head = path.read_text("utf-8").partition("diff --git")[0]
            what, _, tests = head.partition(NOTICED_BY)
            found.append(Defect(path, what.strip(), tuple(shlex.split(tests))))
    return found


def copy_to(folder: Path) -> None:
    """What the tests need of the project."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)


def pytest_on(folder: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run these tests on the copy."""
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PYTEST, *tests],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def patched(folder: Path, defect: Defect, *options: str) -> bool:
    """Whether the patch could be applied, or with ``-R`` taken back."""
    command = ["git", "apply", *options, str(defect.path)]
    # Outside of any repository, whatever stands above the folder.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return not done.returncode


def verdict(folder: Path, defect: Defect) -> str:
    """``noticed``, or what is wrong."""
    if not defect.tests:
        return f"NAMES NO TESTS ({NOTICED_BY} …)"
    if not patched(folder, defect):
        return "DOES NOT APPLY: write it anew against the present code"
    try:
        done = pytest_on(folder, defect.tests)
    except subprocess.TimeoutExpired:
        return "HANGS: name tests that fail in time"
    finally:
        patched(folder, defect, "-R")
    if done.returncode == TESTS_FAILED:
        return "noticed"
    if done.returncode:
        return f"BREAKS THE TESTS THEMSELVES\n{done.stdout}{done.stderr}"
    return f"SURVIVED {' '.join(defect.tests)}"


def main(wanted: list[str], *, trust: bool) -> int:
    chosen, bad = defects(wanted), 0
    if not chosen:
        print(f"No defect is called {' or '.join(wanted)}.")
        return 2
    with tempfile.TemporaryDirectory(prefix="asyncqueue-defects-") as name:
        folder = Path(name)
        copy_to(folder)
        for tests in {} if trust else {one.tests: None for one in chosen if one.tests}:
            sound = pytest_on(folder, tests)
            if sound.returncode:
                print(f"Without any defect, {' '.join(tests)} fails:\n{sound.stdout}{sound.stderr}")
                return 1
        for defect in chosen:
            started = time.monotonic()
            found = verdict(folder, defect)
            bad += found != "noticed"
            took = time.monotonic() - started
            print(f"{defect.path.stem:48} {found:10} {took:5.1f} s  {defect.what}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} defects were noticed.")
    return int(bad > 0)


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main([one for one in given if one != "--trust"], trust="--trust" in given))
