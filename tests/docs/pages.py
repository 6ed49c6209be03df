"""The pages of the documentation, taken apart: fenced blocks, tables, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
_FENCE = re.compile(r"^( *)```(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: ```` ```python docs/examples/retries.py ```` names its source."""

    page: Path
    line: int
    language: str
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks in one of these languages, of all pages."""
    return [block for page in pages() for block in _blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    inside, lines = False, []
    for line in page.read_text("utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head; cells as written."""
    text = (DOCS / page).read_text("utf-8")
    _, found, rest = text.partition(f"# {heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    rows: list[list[str]] = []
    for line in rest.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def code(cell: str) -> str:
    """What stands between the first backticks of a cell."""
    found = re.search(r"`([^`]+)`", cell)
    assert found, f"no code in {cell!r}"
    return found[1]


def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page make."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            language, _, source = fence[2].partition(" ")
            opened, lines = (number, language, source.strip()), []
        elif fence and opened is not None:
            found.append(Block(page, *opened, "\n".join(lines)))
            opened = None
        else:
            lines.append(line)
    assert opened is None, f"{page}: the block in line {opened} is not closed"
    return found
