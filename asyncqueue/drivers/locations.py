"""What the URLs of the built-in drivers say behind their scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

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
_POSTGRES: Final[dict[str, Callable[[str], Any]]] = {
    "schema": str,
    "pool_size": int,
    "timeout": parse_duration,
    "statement_cache_size": int,
    "listen_dsn": str,
}
"""The options of a postgres URL that are ours. All others are the server's or its library's."""


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
        if name not in _SQLITE:
            raise ConfigError(f'{masked(url)!r} has no option "{name}".{suggest(name, _SQLITE)}')
        options[name] = _read(_SQLITE, name, value, url)
    return options


def postgres_dsn(url: str) -> tuple[str, dict[str, Any]]:
    """The URL without the options that are ours, and these, as the driver takes them."""
    base, _, query = url.partition("?")
    given = parse_qsl(query, keep_blank_values=True)
    options = {n: _read(_POSTGRES, n, value, url) for n, value in given if n in _POSTGRES}
    others = urlencode([(name, value) for name, value in given if name not in _POSTGRES])
    return (f"{base}?{others}" if others else base), options


def _read(options: dict[str, Callable[[str], Any]], name: str, value: str, url: str) -> Any:
    try:
        return options[name](value)
    except ValueError as error:
        raise ConfigError(f"{masked(url)!r}: {name}: {error}") from error
