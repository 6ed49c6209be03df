"""Every defect names tests that are there, and its patch applies to the present code."""

from __future__ import annotations

from pathlib import Path

import pytest

from .__main__ import ROOT, Defect, defects, main, patched, verdict

DEFECTS = defects([])
HERE = Path(__file__).parent


def test_there_are_enough():
    assert len(DEFECTS) >= 20


@pytest.mark.faults
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.path.stem)
def test_applies(defect: Defect):
    assert defect.what
    assert [name for name in defect.tests if name.startswith("tests/")]
    for name in defect.tests:
        assert not name.startswith("tests/") or (ROOT / name).exists(), f"{name} is gone"
    assert patched(ROOT, defect, "--check")


def test_what_does_not_apply_is_told(tmp_path: Path, capsys):
    (tmp_path / "gone.patch").write_text(
        "x\n\ndiff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n", "utf-8"
    )
    defect = Defect(tmp_path / "gone.patch", "x", ("tests/core/test_ids.py",))
    assert verdict(tmp_path, defect).startswith("DOES NOT APPLY")
    assert "x.py" in capsys.readouterr().err


def test_a_defect_that_nobody_can_notice_survives(tmp_path: Path):
    (tmp_path / "x.py").write_text("a\n", "utf-8")
    (tmp_path / "test_x.py").write_text("def test(): ...\n", "utf-8")
    (tmp_path / "x.patch").write_text(
        "x\n\ndiff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n", "utf-8"
    )
    assert verdict(tmp_path, Defect(tmp_path / "x.patch", "x", ("test_x.py",))).startswith(
        "SURVIVED"
    )
    assert (tmp_path / "x.py").read_text("utf-8") == "a\n", "it was not taken back"
    (tmp_path / "test_x.py").write_text(
        "def test(): assert open('x.py').read() == 'a\\n'\n", "utf-8"
    )
    assert verdict(tmp_path, Defect(tmp_path / "x.patch", "x", ("test_x.py",))) == "noticed"


def test_a_name_that_there_is_not(capsys):
    assert main(["no such defect"], trust=True) == 2
    assert "no such defect" in capsys.readouterr().out
