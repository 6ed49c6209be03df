"""Errors that say why bytes or values are refused, and never what is in them.

What they say goes to logs and to the failed store, where people look who must not see payloads.
"""

from __future__ import annotations

import re
from typing import Any, Final

from asyncqueue.errors import PayloadError
from asyncqueue.nesting import DEEPEST

_QUOTING: Final = re.compile(
    r"(Invalid (?:enum )?value|Object contains unknown field) .*?"
    r"(?P<path> - at `[^`]*`(?: in `[^`]*`)?)?",
    re.DOTALL,
)
"""The messages of msgspec that quote what is in the data."""


def refused(text: str, error: Exception) -> PayloadError:
    """The error that says so, and why. Raise it from its own ``__cause__``."""
    quoting = _QUOTING.fullmatch(str(error))
    if quoting is not None:
        return PayloadError(f"{text}: {quoting[1]}, not shown here{quoting['path'] or ''}")
    if isinstance(error, UnicodeError):
        return PayloadError(f"{text}: text that is not UTF-8")
    refusal = PayloadError(f"{text}: {error}")
    refusal.__cause__ = error
    return refusal


def no_fields(name: str, given: Any) -> str:
    """Somebody gave something else than a job's fields."""
    return f"{name}: the payload must be a dict of its fields, got a {type(given).__qualname__}"


def too_deep(name: str) -> PayloadError:
    """Somebody nested too many lists and maps."""
    return PayloadError(
        f"{name}: it nests deeper than {DEEPEST} levels. Store the data elsewhere and dispatch a "
        "reference to it."
    )


def of_another_version(name: str, version: int, ours: int) -> PayloadError:
    """An envelope of a format that this version does not know."""
    return PayloadError(
        f"{name}: the stored job has format {version}, this version reads {ours}. "
        "Run it with the version that wrote it, or upgrade."
    )
