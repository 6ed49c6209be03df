"""Links lead somewhere, and pages are reachable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .pages import DOCS, ROOT, anchors, pages, prose

if TYPE_CHECKING:
    from pathlib import Path


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in links(page):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(path), f"{link}: no such heading"


def test_every_page_is_in_the_index():
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    missing = [page for page in pages() if page.parent != ROOT and page not in linked]
    assert missing == [DOCS / "index.md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_one_word_for_each_thing(page: Path):
    """See the glossary: a job is not a task, and so on. asyncio's own tasks are tasks."""
    if page.name == "glossary.md":
        return
    text = re.sub(r"`[^`]*`|asyncio tasks?", "", prose(page))
    other = re.findall(r"(?i)\b(tasks?|brokers?|acks?|acknowledge\w*|DLQ|dead.letter)\b", text)
    allowed = {"brokers", "broker"} if page.name == "README.md" else set()
    assert set(map(str.lower, other)) <= allowed
