"""No snippet stands only in a page: each is part of an example, and each example runs."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from .pages import EXAMPLES, ROOT, Block, blocks

if TYPE_CHECKING:
    from pathlib import Path

APPLICATIONS = {"fastapi_app.py", "readme_fastapi.py"}
"""They serve until they are stopped: their tests call them as a browser would."""
PARTS = {"tutorial", "tiny_driver.py", "orders_on_postgres.py"}
"""Run by test_tutorial.py, test_tiny_driver.py and test_postgres_example.py."""


def examples() -> list[Path]:
    apart = APPLICATIONS | PARTS
    return [path for path in sorted(EXAMPLES.glob("*.py")) if path.name not in apart]


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.name)
def test_example_runs(path: Path, run_example):
    run_example(path)


@pytest.mark.parametrize("block", blocks("python", "py", "toml"), ids=str)
def test_snippet_is_part_of_an_example(block: Block):
    assert block.source, f"{block}: say which example it is from: ```python docs/examples/x.py"
    source = (ROOT / block.source).read_text("utf-8")
    assert contains(source, block.text), f"{block} is not, or no longer, part of {block.source}"


@pytest.mark.parametrize(
    "block", [block for block in blocks("text") if block.source.endswith(".py")], ids=str
)
def test_output_is_what_the_example_prints(block: Block, run_example):
    """The lines in their order, others may stand between them; … stands for anything."""
    printed = iter(run_example(ROOT / block.source).splitlines())
    for line in block.text.splitlines():
        pattern = re.escape(line.strip()).replace("…", ".*")
        assert any(re.fullmatch(pattern, other.strip()) for other in printed), (
            f"{block}: {block.source} does not print {line!r} there"
        )


def contains(source: str, text: str) -> bool:
    """Whether these are consecutive lines of the source, whatever their common indentation."""
    wanted = text.strip("\n").splitlines()
    lines = source.splitlines()
    return any(
        textwrap.dedent("\n".join(lines[start : start + len(wanted)])).splitlines() == wanted
        for start in range(len(lines) - len(wanted) + 1)
    )


def test_the_readme_shows_its_example_whole():
    example = EXAMPLES / "readme_fastapi.py"
    (block,) = [block for block in blocks("python") if block.page == ROOT / "README.md"]
    assert block.text + "\n" == example.read_text("utf-8")
