"""Where a server is and how to talk to it, from a URL."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from asyncqueue.durations import parse_duration, to_seconds
from asyncqueue.errors import ConfigError
from asyncqueue.registry import suggest
from asyncqueue.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.durations import Duration

PORT: Final = 6379
_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def _flag(text: str) -> bool:
    told = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in told:
        raise ValueError("must be true or false")
    return told[text.lower()]


def _patience(text: str) -> float:
    return check_timeout(parse_duration(text))


OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "timeout": _patience,
    "ca": str,
    "cert": str,
    "key": str,
    "check_hostname": _flag,
}
"""The options of a redis URL, and how their text is read."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A server, a database in it, and how to talk to it."""

    host: str = "localhost"
    port: int = PORT
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca: str | None = None
    """A file with the certificates of authorities to trust; None: those of the system."""
    cert: str | None = None
    key: str | None = None
    check_hostname: bool = True
    timeout: float = 5.0
    """Seconds to wait for a connection or an answer."""

    def __str__(self) -> str:
        """As a URL without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.db}"


def place_of(url: str) -> Place:
    """The place that a URL names. Raises ConfigError where it names none."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or PORT
    except ValueError as error:
        raise ConfigError(f"{masked(url)!r} is no Redis URL: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in ("redis", "rediss", "valkey"):
        raise ConfigError(
            f"{masked(url)!r}: write redis://host:6379/0, or rediss:// where the server wants TLS."
        )
    return Place(
        host=parts.hostname or "localhost",
        port=port,
        db=_db(url, parts.path),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=scheme == "rediss",
        **_options(url, parts.query),
    )


def check_timeout(timeout: Duration) -> float:
    """The timeout in seconds. Raises ConfigError for one that cannot be waited for."""
    seconds = to_seconds(timeout, "timeout")
    if not 0 < seconds < math.inf:
        raise ConfigError(f"The timeout must be more than 0 seconds and finite, got {timeout!r}")
    return seconds


def check_prefix(prefix: str) -> str:
    """The prefix, if keys can begin with it."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"The prefix {prefix!r} must be a letter or _, then up to 62 letters, digits and _."
        )
    return prefix


def _db(url: str, path: str) -> int:
    text = path.strip("/")
    if text and not text.isdecimal():
        raise ConfigError(f"{masked(url)!r}: {text!r} must be the number of a database, as in /0.")
    return int(text or 0)


def _options(url: str, query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        read = OPTIONS.get(name)
        if read is None:
            raise ConfigError(f'{masked(url)!r} has no option "{name}".{suggest(name, OPTIONS)}')
        try:
            options[name] = read(value)
        except ValueError as error:
            raise ConfigError(f"{masked(url)!r}: {name}: {error}") from error
    return options
