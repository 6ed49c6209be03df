"""Whether the path of the database still leads to the file that was opened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from pathlib import Path


class Original:
    """The file that a path leads to now.

    SQLite goes on with a file that was removed or replaced under it: whatever is written then
    is gone with the last connection, and nobody else ever sees it.
    """

    def __init__(self, path: Path) -> None:
        # As text, because converting a Path at every check takes as long as asking the kernel.
        self._path = str(path)
        self.identity = self._look()
        """Device and number of the file."""

    def check(self) -> None:
        """Raise DriverUnavailable unless the path leads to that file. Takes about 2 µs."""
        if self._look() != self.identity:
            raise self._lost()

    def _look(self) -> tuple[int, int]:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - Path.stat takes twice as long
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._lost() from error
        except OSError as error:
            raise DriverUnavailable(
                f"The database {self._path} cannot be reached; check its directory ({error})."
            ) from error
        return found.st_dev, found.st_ino

    def _lost(self) -> DriverUnavailable:
        return DriverUnavailable(
            f"The database {self._path} was removed or replaced while it was open; "
            "put it back or restart."
        )
