"""What each setting may be, and how it is shown in messages."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

from asyncqueue.durations import parse_duration, to_seconds
from asyncqueue.errors import ConfigError
from asyncqueue.sealing import encryption_key
from asyncqueue.urls import masked, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_WORKERS: Final = 10
DEFAULT_TIMEOUT: Final = 30.0
_SECRETS: Final = frozenset({"redis_password", "signing_keys", "encryption_keys"})
_URLS: Final = frozenset({"url", "database_url"})
_KEYS: Final = "must be keys, none of them empty, separated by commas or in a list"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def check(name: str, value: Any, label: str) -> Any:
    """The value as the setting ``name`` keeps it; ``label`` is what messages call it.

    Raises :class:`~asyncqueue.errors.ConfigError` when it cannot be understood.
    """
    try:
        return _CHECKS[name](value)
    except (TypeError, ValueError, OverflowError) as error:
        shown = presentable(name, value)
        # The cause could show what is masked here.
        raise ConfigError(f"{label} {error}, got {shown!r}") from None


def presentable(name: str, value: Any) -> Any:
    """The value with its secrets masked."""
    if name in _SECRETS:
        return "***" if value else value
    return masked(value) if name in _URLS and isinstance(value, str) else value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value.strip()


def _name(value: Any) -> str:
    return _text(value).lower()


def _identifier(value: Any) -> str:
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value.strip()):
        raise ValueError("must be a letter or _, then up to 62 letters, digits and _")
    return value.strip()


def _url(value: Any) -> str:
    if not isinstance(value, str) or scheme_of(value) is None:
        raise ValueError("must be a URL such as memory:// or sqlite:///queue.db")
    return value.strip()


def _password(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - becomes a ConfigError
    return value


def _whole(low: int, high: float = math.inf) -> Callable[[Any], int]:
    bounds = f"from {low} up" if high == math.inf else f"from {low} to {high}"

    def checked(value: Any) -> int:
        number = _integer(value)
        if number is None or not low <= number <= high:
            raise ValueError(f"must be a whole number {bounds}")
        return number

    return checked


def _integer(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _attempts(value: Any) -> int:
    return max(_whole(0)(value), 1)


def _workers(value: Any) -> int:
    number = _integer(value)
    if number is None:
        raise ValueError("must be a whole number")
    return number if number > 0 else DEFAULT_WORKERS


def _seconds(value: Any) -> float:
    """Seconds from a number, ``timedelta`` or text; infinity included."""
    try:
        if not isinstance(value, str):
            return to_seconds(value)
        unlimited = value.strip().lower() in ("inf", "infinity")
        return math.inf if unlimited else parse_duration(value)
    except (TypeError, ValueError):
        raise ValueError('must be a duration such as 5, "100ms" or "1h30m"') from None


def _span(*, zero: bool = True, infinite: bool = False) -> Callable[[Any], float]:
    def checked(value: Any) -> float:
        seconds = _seconds(value)
        if seconds < 0 or (seconds == 0 and not zero):
            raise ValueError("must not be negative" if zero else "must be more than 0")
        if math.isinf(seconds) and not infinite:
            raise ValueError("must be finite")
        return seconds

    return checked


def _timeout(value: Any) -> float:
    seconds = _seconds(value)
    return seconds if seconds > 0 else DEFAULT_TIMEOUT


def _keys(value: Any) -> tuple[str | bytes, ...]:
    keys: Any = [key.strip() for key in value.split(",")] if isinstance(value, str) else value
    if not isinstance(keys, (list, tuple)):
        raise ValueError(_KEYS)  # noqa: TRY004 - becomes a ConfigError
    listed = tuple(cast("list[Any]", keys))
    if not all(key and isinstance(key, (str, bytes)) for key in listed):
        raise ValueError(_KEYS)
    return listed


def _encryption_keys(value: Any) -> tuple[str | bytes, ...]:
    keys = _keys(value)
    for key in keys:
        encryption_key(key)
    return keys


def _switch(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False}
    on = words.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(on, bool):
        raise ValueError("must be on or off")  # noqa: TRY004 - becomes a ConfigError
    return on


def _optional(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "driver": _name,
    "url": _optional(_url),
    "redis_host": _text,
    "redis_port": _whole(1, 65535),
    "redis_db": _whole(0),
    "redis_password": _password,
    "database_url": _url,
    "table": _identifier,
    "failed_table": _identifier,
    "default": _text,
    "max_attempts": _attempts,
    "retry_delay": _optional(_span()),
    "timeout": _timeout,
    "poll_interval": _span(zero=False),
    "workers": _workers,
    "lease": _span(zero=False),
    "grace": _span(),
    "retention": _span(),
    "failed_retention": _span(infinite=True),
    "cleanup_interval": _span(),
    "recovery": _switch,
    "prefix": _identifier,
    "max_payload": _whole(1),
    "signing_keys": _keys,
    "encryption_keys": _encryption_keys,
}
