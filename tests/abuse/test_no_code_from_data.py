"""Nothing that is installed can turn stored data into code: every file is read for that."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CODE_LOADERS: Final = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"),
    *("joblib", "copyreg", "code", "runpy", "imp", "zipimport"),
}
CALLS: Final = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "execfile",
    "import_module",
    "literal_eval",
}
ALLOWED: Final = {
    ("asyncqueue/cli/target.py", "import_module"): "MODULE:OBJECT of the command line",
    ("asyncqueue/cli/worker.py", "import_module"): "--import of the command line",
    ("asyncqueue/cli/demo.py", "import_module"): "a constant",
    (
        "asyncqueue/demo/measure.py",
        "compile",
    ): "files of the demo's user, and what comes is not run",
    ("asyncqueue/testing/__init__.py", "import_module"): "a constant table",
    ("asyncqueue/drivers/postgres/guests.py", "import_module"): "constants: psycopg, SQLAlchemy",
}
"""Who may import by name, and where the name comes from: never from a store."""


def installed() -> list[Path]:
    """The Python files that a wheel holds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    found = [path for name in included for path in ((ROOT / name), *(ROOT / name).rglob("*.py"))]
    return [path for path in found if path.suffix == ".py"]


def called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        # `re.compile(...)` compiles no Python.
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return "" if owner == "re" else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def suspicions(path: Path) -> list[tuple[str, str]]:
    name = path.relative_to(ROOT).as_posix()
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and called(node) in CALLS:
            found.append(called(node))
        elif isinstance(node, ast.Attribute) and node.attr in {"unsafe_load", "UnsafeLoader"}:
            found.append(node.attr)
    risky = CODE_LOADERS | CALLS | {"unsafe_load", "UnsafeLoader"}
    return [(name, what) for what in found if what in risky]


def test_the_reader_reads_everything():
    names = {path.relative_to(ROOT).as_posix() for path in installed()}
    assert "asyncqueue/codec.py" in names
    assert "_asyncqueue_pytest.py" in names
    assert len(names) > 150


def test_nothing_loads_code():
    found = [one for path in installed() for one in suspicions(path)]
    assert [one for one in found if one not in ALLOWED] == []
    assert set(ALLOWED) == set(found), "some of these are not needed any more"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval(x)",
        "builtins.exec(x)",
        "yaml.unsafe_load(x)",
    ],
)
def test_it_would_be_found(source: str, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "bad.py").write_text(source, "utf-8")
    assert suspicions(tmp_path / "bad.py")
