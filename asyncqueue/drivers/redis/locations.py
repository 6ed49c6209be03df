"""What the URLs of Redis say: which place is meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from asyncqueue.drivers.redis.place import (
    PORT,
    SENTINEL_PORT,
    Place,
    check_shards,
    check_timeout,
)
from asyncqueue.durations import parse_duration
from asyncqueue.errors import ConfigError
from asyncqueue.registry import suggest
from asyncqueue.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.drivers.redis.place import Address, Kind


def _flag(text: str) -> bool:
    told = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in told:
        raise ValueError("must be true or false")
    return told[text.lower()]


def _patience(text: str) -> float:
    return check_timeout(parse_duration(text))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} must be a whole number")
    return check_shards(int(text))


OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "timeout": _patience,
    "tls": _flag,
    "ca": str,
    "cert": str,
    "key": str,
    "check_hostname": _flag,
    "sentinel_password": str,
    "shards": _count,
}
"""The options of a redis URL, and how their text is read."""
_PARTS: Final = re.compile(
    r"(?P<scheme>[^:/?#]*)://(?P<hosts>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.DOTALL,
)
_KINDS: Final[dict[str, tuple[Kind, int]]] = {
    "redis": ("standalone", PORT),
    "rediss": ("standalone", PORT),
    "valkey": ("standalone", PORT),
    "redis+sentinel": ("sentinel", SENTINEL_PORT),
    "redis+cluster": ("cluster", PORT),
}


def place_of(url: str) -> Place:
    """The place that a URL names. Raises ConfigError where it names none."""
    # Not by urllib, which takes several hosts for a malformed one as soon as an IPv6 address is
    # among them.
    parts = _PARTS.fullmatch(url.strip())
    scheme = parts["scheme"].lower() if parts else ""
    if parts is None or scheme not in _KINDS:
        raise ConfigError(
            f"{masked(url)!r}: write redis://host:6379/0, rediss:// where the server wants TLS, "
            "redis+sentinel://host1,host2/name/0 or redis+cluster://host1,host2."
        )
    kind, port = _KINDS[scheme]
    user, at, hosts = parts["hosts"].rpartition("@")
    name, colon, password = user.partition(":")
    service, db = _path(url, kind, parts["path"])
    options = _options(url, parts["query"] or "")
    options["tls"] = scheme == "rediss" or options.get("tls", False)
    return Place(
        kind=kind,
        nodes=_nodes(url, hosts, port, single=kind == "standalone"),
        service=service,
        db=db,
        username=unquote(name) if at and name else None,
        password=unquote(password) if colon else None,
        **options,
    )


def _nodes(url: str, hosts: str, port: int, *, single: bool) -> tuple[Address, ...]:
    names = hosts.split(",") if hosts else ["localhost"]
    if single and len(names) > 1:
        raise ConfigError(
            f"{masked(url)!r} names several servers; write redis+cluster:// or redis+sentinel://."
        )
    nodes: list[Address] = []
    for name in names:
        try:
            parts = urlsplit(f"//{name}")
            nodes.append((parts.hostname or "localhost", parts.port or port))
        except ValueError as error:
            raise ConfigError(f"{masked(url)!r} is no Redis URL: {error}") from None
    return tuple(nodes)


def _path(url: str, kind: Kind, path: str) -> tuple[str, int]:
    words = [unquote(word) for word in path.split("/") if word]
    service = ""
    if kind == "sentinel":
        if not words:
            raise ConfigError(
                f"{masked(url)!r} lacks the name under which the sentinels know the servers: "
                "write redis+sentinel://host1,host2/mymaster/0."
            )
        service = words.pop(0)
    db = words.pop(0) if words else "0"
    if words or not db.isdecimal():
        shown = "/".join([db, *words])
        raise ConfigError(f"{masked(url)!r}: {shown!r} must be the number of a database, as in /0.")
    if kind == "cluster" and int(db):
        raise ConfigError(f"{masked(url)!r}: a cluster has one database, /0.")
    return service, int(db)


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
