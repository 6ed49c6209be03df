"""Numbered steps from an empty store to the newest schema: which there are, which are missing.

A step is a file ``NNN_jobs.sql`` or ``NNN_failed.sql``: what version NNN changes of the tables of
the jobs, or of the table of the failed ones, of which a store may have several. Its first line is
its title. A step that was released is never changed again: what is to be different is a new one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

Part = Literal["jobs", "failed"]
PARTS: Final[tuple[Part, ...]] = ("jobs", "failed")
_FILE: Final = re.compile(r"(\d{3})_(jobs|failed)\.sql")


class Step(NamedTuple):
    """One change of one part; ``text`` is its file."""

    number: int
    part: Part
    text: str

    @property
    def title(self) -> str:
        """What it is about."""
        return self.text.partition("\n")[0].removeprefix("-- ")


class Steps:
    """The steps of a driver, in the order in which they are taken, from the files of a folder."""

    def __init__(self, folder: Traversable) -> None:
        steps: list[Step] = []
        for file in folder.iterdir():
            match = _FILE.fullmatch(file.name)
            if match is not None:
                part: Part = "jobs" if match[2] == "jobs" else "failed"
                steps.append(Step(int(match[1]), part, file.read_text("utf-8")))
        self._steps = sorted(steps, key=lambda step: (step.number, PARTS.index(step.part)))

    @property
    def newest(self) -> int:
        """The version that a store has after all of them."""
        return self._steps[-1].number

    def after(self, version: int) -> list[Step]:
        """What follows this version; raises DriverError for one that there is not."""
        if not 0 <= version <= self.newest:
            raise DriverError(
                f"There is no version {version} of the schema; give 0, for an empty store, to "
                f"{self.newest}, the newest."
            )
        return [step for step in self._steps if step.number > version]

    def missing(self, versions: Mapping[Part, str | None], where: str) -> list[Step]:
        """What a store lacks whose parts have these versions; None: there is no such part yet.

        Raises DriverError where one of them is of a version that this asyncqueue does not know.
        """
        numbers = {part: self._number(text, where) for part, text in versions.items()}
        return [step for step in self._steps if step.number > numbers.get(step.part, 0)]

    def _number(self, text: str | None, where: str) -> int:
        if text is None:
            return 0
        if text.isascii() and text.isdigit() and 1 <= int(text) <= self.newest:
            return int(text)
        raise DriverError(
            f"{where} have version {text} and this asyncqueue knows version {self.newest} at "
            "most; a newer asyncqueue changed them: install that one here, too, or name other "
            "tables."
        )
