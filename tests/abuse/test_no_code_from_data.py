"""Nothing that is installed can turn stored data into code: every file of the wheel is read."""

from __future__ import annotations

import ast
import re
import zipfile
from pathlib import Path
from typing import Final

import pytest
from hatchling.builders.wheel import WheelBuilder

PROJECT: Final = Path(__file__).parents[2]
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that an installation brings."""
    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(PROJECT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        # `re.compile(...)` compiles no Python.
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return "" if owner == "re" else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def suspicions(path: Path, root: Path) -> list[tuple[str, str]]:
    name = path.relative_to(root).as_posix()
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


def test_everything_that_is_installed_is_read(wheel: Path):
    files = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}
    names = {path.as_posix() for path in files}
    assert {"asyncqueue/codec.py", "asyncqueue/py.typed", "_asyncqueue_pytest.py"} <= names
    top = {path.parts[0] for path in files}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "asyncqueue",
        "_asyncqueue_pytest.py",
    }
    endings = {path.suffix for path in files if not path.parts[0].endswith(".dist-info")}
    assert endings == {".py", ".sql", ".lua", ".typed"}, "somebody has to read these, too"


def test_nothing_loads_code(wheel: Path):
    found = [one for path in wheel.rglob("*.py") for one in suspicions(path, wheel)]
    assert [one for one in found if one not in ALLOWED] == []
    assert set(ALLOWED) == set(found), "some of these are not needed any more"


def test_no_script_loads_code(wheel: Path):
    """What runs inside a server makes no code of what is stored there either."""
    lua = re.compile(r"\b(loadstring|load|dofile|loadfile|require|setfenv)\s*[(\"']")
    sql = re.compile(r"\bEXECUTE\s+format|\bPROGRAM\b|\bload_extension\b", re.IGNORECASE)
    scripts = [path for path in wheel.rglob("*") if path.suffix in {".lua", ".sql"}]
    assert len(scripts) > 50
    risky = {".lua": lua, ".sql": sql}
    assert [p.name for p in scripts if risky[p.suffix].search(p.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "eval(x)",
        "builtins.exec(x)",
        "yaml.unsafe_load(x)",
        "importlib.import_module(claim.name)",
        "__import__(name)",
    ],
)
def test_it_would_be_found(source: str, tmp_path: Path):
    (tmp_path / "bad.py").write_text(source, "utf-8")
    assert suspicions(tmp_path / "bad.py", tmp_path)
