"""Where the jobs are and how to talk to whoever holds them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from asyncqueue.durations import to_seconds
from asyncqueue.errors import ConfigError

if TYPE_CHECKING:
    from asyncqueue.durations import Duration

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
MOST_SHARDS: Final = 256
_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

Address = tuple[str, int]
Kind = Literal["standalone", "sentinel", "cluster"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A server, or those who know which server it is; a database in it; how to talk to it."""

    kind: Kind = "standalone"
    nodes: tuple[Address, ...] = (("localhost", PORT),)
    """The server; or sentinels, or nodes of a cluster, of which one that answers will do."""
    service: str = ""
    """What sentinels call the servers they watch."""
    db: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_password: str | None = None
    tls: bool = False
    ca: str | None = None
    """A file with the certificates of authorities to trust; None: those of the system."""
    cert: str | None = None
    key: str | None = None
    check_hostname: bool = True
    timeout: float = 5.0
    """Seconds to wait for a connection or an answer."""
    shards: int = 1
    """Over how many parts of the keyspace, and so of a cluster, the jobs of a queue are spread."""

    def __repr__(self) -> str:
        # Log handlers that keep the arguments of a record, and reports of crashes, ask for it.
        return f"<Place {self}>"

    def __str__(self) -> str:
        """As a URL without secrets."""
        hosts = ",".join(shown(address) for address in self.nodes)
        if self.kind == "standalone":
            return f"{'rediss' if self.tls else 'redis'}://{hosts}/{self.db}"
        path = f"/{self.service}/{self.db}" if self.kind == "sentinel" else ""
        return f"redis+{self.kind}://{hosts}{path}{'?tls=yes' if self.tls else ''}"


def shown(address: Address) -> str:
    """An address as it stands in a URL."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_timeout(timeout: Duration) -> float:
    """The timeout in seconds. Raises ConfigError for one that cannot be waited for."""
    seconds = to_seconds(timeout, "timeout")
    if not 0 < seconds < math.inf:
        raise ConfigError(f"The timeout must be more than 0 seconds and finite, got {timeout!r}")
    return seconds


def check_shards(shards: int) -> int:
    """The number of shards, if there can be so many."""
    if type(shards) is not int or not 1 <= shards <= MOST_SHARDS:
        raise ConfigError(f"shards={shards!r} must be a whole number from 1 to {MOST_SHARDS}.")
    return shards


def check_prefix(prefix: str) -> str:
    """The prefix, if keys can begin with it."""
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            f"The prefix {prefix!r} must be a letter or _, then up to 62 letters, digits and _."
        )
    return prefix
