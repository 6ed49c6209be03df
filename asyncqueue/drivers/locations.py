"""What the URLs of the built-in drivers say behind their scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from asyncqueue.durations import parse_duration
from asyncqueue.errors import ConfigError
from asyncqueue.registry import suggest
from asyncqueue.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable

_SQLITE: Final[dict[str, Callable[[str], Any]]] = {
    "synchronous": str.upper,
    "busy_timeout": parse_duration,
}
"""The options of a sqlite URL, and how their text is read."""


def bare(url: str, spelling: str) -> None:
    """Refuse anything behind the scheme of a driver that has nothing to be told."""
    if url.partition("://")[2].strip("/"):
        raise ConfigError(f"{masked(url)!r}: write {spelling}, nothing follows it.")


def sqlite_path(url: str) -> str:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` means."""
    rest = url.partition("://")[2].partition("?")[0]
    path = unquote(rest[1:])
    if not rest.startswith("/") or not path.strip("/"):
        name = unquote(rest).rpartition("@")[2].strip("/") or "queue.db"
        raise ConfigError(
            f"{masked(url)!r} names no file. Write sqlite:///{name} (relative, three slashes) or "
            f"sqlite:////var/lib/{name} (absolute, four)."
        )
    if path == ":memory:":
        raise ConfigError(f"{masked(url)!r}: a queue in memory is memory://.")
    if "\0" in path:
        raise ConfigError(f"{masked(url)!r}: a file name cannot contain a zero byte.")
    return path


def sqlite_options(url: str) -> dict[str, Any]:
    """The options behind the ``?`` of a sqlite URL, as the driver takes them."""
    options: dict[str, Any] = {}
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        read = _SQLITE.get(name)
        if read is None:
            raise ConfigError(f'{masked(url)!r} has no option "{name}".{suggest(name, _SQLITE)}')
        try:
            options[name] = read(value)
        except ValueError as error:
            raise ConfigError(f"{masked(url)!r}: {name}: {error}") from error
    return options
