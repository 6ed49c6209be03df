"""Writes ``docs/reference/behaviour.md``: what asyncqueue promises, and which tests prove it where.

``python -m tests.behaviour_page`` collects all tests, without running any, and writes the page;
``--check`` writes nothing and says what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CASES = ROOT / "docs/reference/cases.toml"
PAGE = ROOT / "docs/reference/behaviour.md"
STORES = ("memory", "postgres", "redis", "sqlite")
DRIVERS = (*STORES, "sync")
FIXTURES = {
    "own_redis": "redis",
    "redis_url": "redis",
    "postgres_schema": "postgres",
    "new_postgres_schema": "postgres",
}
"""Fixtures that say which driver a test is about when it has none of the parameters below."""
PARAMETERS = ("driver", "ledger", "store")


class Case(NamedTuple):
    """One promise; see the head of ``cases.toml``."""

    id: str
    holds: str
    on: tuple[str, ...]
    reading: str


class Proofs(NamedTuple):
    """The tests of one case, and the drivers on which they run."""

    tests: set[str]
    drivers: set[str]


def topics() -> dict[str, str]:
    """Titles by the letters of their ids."""
    return _table()["topics"]


def cases() -> list[Case]:
    """All cases, in the order of the file."""
    table = _table()
    return [
        Case(id, facts["holds"], tuple(facts.get("on", STORES)), facts.get("reading", ""))
        for id, facts in table.items()
        if id != "topics"
    ]


def _table() -> dict[str, dict[str, str]]:
    return tomllib.loads(CASES.read_text("utf-8"))


# Which tests prove what


class Collector:
    """A pytest plugin that notes the cases of every collected test."""

    def __init__(self) -> None:
        self.proofs: dict[str, Proofs] = defaultdict(lambda: Proofs(set(), set()))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            drivers = drivers_of(item)
            for node, mark in item.iter_markers_with_node("case"):
                on = {mark.kwargs["on"]} if "on" in mark.kwargs else drivers
                self._note(mark.args, name_of(node), on)
            self._note(getattr(item.obj, "cases", ()), f"conformance: {plain_name(item)}", drivers)

    def _note(self, ids: tuple[str, ...], test: str, drivers: set[str]) -> None:
        for id in ids:
            self.proofs[id].tests.add(test)
            self.proofs[id].drivers.update(drivers)


def plain_name(item: pytest.Item) -> str:
    """Its name without parameters."""
    return item.name.partition("[")[0]


def name_of(node: pytest.Collector | pytest.Item) -> str:
    """The file and the function or class that carries a mark."""
    file, _, rest = node.nodeid.partition("::")
    return f"{file.removeprefix('tests/')}: {rest.partition('[')[0].replace('::', '.')}"


def drivers_of(item: pytest.Item) -> set[str]:
    """The drivers that a test runs on, as far as its place, parameters and fixtures tell."""
    place = item.path.relative_to(ROOT / "tests").parts
    if place[0] == "drivers":
        words = {place[1], *place[-1].removesuffix(".py").split("_")}
        if found := words & set(DRIVERS):
            return found
    if place[0] == "core":
        return set()
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for name in PARAMETERS:
        if parameters.get(name) in DRIVERS:
            return {parameters[name]}
    return {driver for fixture, driver in FIXTURES.items() if fixture in item.fixturenames}


def collected() -> dict[str, Proofs]:
    """The proofs of every case that any test names."""
    collector = Collector()
    arguments = ["--collect-only", "-qq", "-p", "no:cacheprovider", str(ROOT / "tests")]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        wrong = pytest.main(arguments, plugins=[collector])
    if wrong:
        _, _, errors = said.getvalue().partition(" ERRORS ")
        raise SystemExit(f"The tests cannot be collected:\n{errors}")
    return dict(collector.proofs)


# What is wrong


def unknown(proofs: dict[str, Proofs]) -> list[str]:
    """Ids that tests name and the table of cases does not."""
    return sorted(proofs.keys() - {case.id for case in cases()})


def missing(case: Case, proofs: dict[str, Proofs]) -> list[str]:
    """The drivers on which a case is yet to be proven; "any" where one test anywhere would do."""
    proof = proofs.get(case.id)
    if proof is None:
        return list(case.on) or ["any"]
    return sorted(set(case.on) - proof.drivers)


def faults(proofs: dict[str, Proofs]) -> list[str]:
    """What must not be."""
    strange = [f"{id} is marked and not in {CASES.name}" for id in unknown(proofs)]
    owed = [
        f"{case.id} is not proven on {', '.join(drivers)}"
        for case in cases()
        if (drivers := missing(case, proofs))
    ]
    return strange + owed


# The page

HEAD = """\
# Behaviour

What can be relied on, case by case, and the tests that prove it. `python -m tests.behaviour_page`
writes this page, from `cases.toml` beside it and from the marks of the tests
(`@pytest.mark.case("DSP-03")`).

*On* are the drivers on which those tests run; — where no store is involved. Tests named
`conformance` belong to `asyncqueue.testing.DriverConformance`, the suite that every driver must
pass. Under a table stand those of its cases that can be understood in more than one way, and how
they are meant here.
"""


def page(proofs: dict[str, Proofs]) -> str:
    """The whole page."""
    parts = [HEAD, _summary(proofs)]
    for letters, title in topics().items():
        parts.append(_topic(title, _of(letters), proofs))
    return "\n".join(parts)


def _of(letters: str) -> list[Case]:
    return [case for case in cases() if case.id.startswith(letters)]


def _summary(proofs: dict[str, Proofs]) -> str:
    rows = ["| topic | cases | proven |", "|---|---|---|"]
    for letters, title in topics().items():
        mine = _of(letters)
        rows.append(f"| [{title}](#{_anchor(title)}) | {len(mine)} | {_proven(mine, proofs)} |")
    every = cases()
    rows.append(f"| all | {len(every)} | {_proven(every, proofs)} |")
    return "\n".join([*rows, ""])


def _proven(some: list[Case], proofs: dict[str, Proofs]) -> int:
    return sum(not missing(case, proofs) for case in some)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _topic(title: str, mine: list[Case], proofs: dict[str, Proofs]) -> str:
    rows = ["| case | holds | on | tests |", "|---|---|---|---|"]
    rows += [_row(case, proofs) for case in mine]
    readings = [f"- {case.id}: {case.reading}" for case in mine if case.reading]
    return "\n".join([f"## {title}", "", *rows, "", *([*readings, ""] if readings else [])])


def _row(case: Case, proofs: dict[str, Proofs]) -> str:
    proof = proofs.get(case.id, Proofs(set(), set()))
    drivers = ", ".join(sorted(proof.drivers)) or "—"
    if absent := missing(case, proofs):
        drivers += f"; not yet: {', '.join(absent)}"
    return f"| {case.id} | {case.holds} | {drivers} | {_listed(proof.tests)} |"


def _listed(tests: set[str]) -> str:
    """Names, grouped by their file."""
    by_file: dict[str, list[str]] = defaultdict(list)
    for test in sorted(tests):
        file, _, name = test.partition(": ")
        by_file[file].append(f"`{name}`")
    return "<br>".join(f"{file}: {', '.join(names)}" for file, names in by_file.items())


def main(*arguments: str) -> None:
    """Write the page, or check it."""
    proofs = collected()
    text = page(proofs)
    if "--check" not in arguments:
        PAGE.write_text(text, "utf-8")
        left = [case.id for case in cases() if missing(case, proofs)]
        print(f"{PAGE.relative_to(ROOT)} is written. Not proven yet: {', '.join(left) or 'none'}")
        return
    told = faults(proofs)
    if PAGE.read_text("utf-8") != text:
        told.append("The page is not what the tests say. Run: python -m tests.behaviour_page")
    if told:
        raise SystemExit("\n".join(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
