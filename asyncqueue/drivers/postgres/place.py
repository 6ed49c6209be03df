"""Which database, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from asyncqueue.errors import ConfigError
from asyncqueue.urls import driver_name, masked, scheme_of

SMALLEST_POOL: Final = 2
_TUNED: Final = {
    # The plans of the driver's statements must not depend on how full a table was when they were
    # made: a worker that was started on an empty queue would read whole tables later on.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Place:
    """A database and the manners of its connections. Raises ConfigError for what cannot be."""

    dsn: str = field(repr=False)
    pool_size: int
    """Connections at most, for the driver's verbs and for handlers' transactions each."""
    patience: float
    """Seconds within which a verb must be done, or one of its statements answered."""
    statement_cache_size: int
    """0 behind a pooler that gives every transaction another connection."""
    listen_dsn: str | None = field(default=None, repr=False)
    """Where to listen, if notifications do not pass through ``dsn``."""

    def __post_init__(self) -> None:
        for dsn in (self.dsn, self.listen_dsn):
            if dsn is not None:
                _check(dsn)
        if not self.patience > 0:
            raise ConfigError(f"timeout={self.patience!r} must be more than 0 seconds.")
        if self.pool_size < SMALLEST_POOL:
            raise ConfigError(f"pool_size={self.pool_size!r} must be {SMALLEST_POOL} or more.")
        if self.statement_cache_size < 0:
            raise ConfigError(
                f"statement_cache_size={self.statement_cache_size!r} must be 0 or more."
            )

    @property
    def location(self) -> str:
        """The URL without the password."""
        parts = urlsplit(self.dsn)
        user, _, host = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        netloc = f"{name}@{host}" if name else host
        return urlunsplit(("postgresql", netloc, parts.path, "", ""))

    @property
    def pooled(self) -> bool:
        """Whether a pooler may give every transaction another connection: then none has state."""
        return self.statement_cache_size == 0

    def settings(self, *, tuned: bool) -> dict[str, str]:
        """What a connection tells the server when it begins."""
        if self.pooled:
            return {}
        settings = {"application_name": "asyncqueue"}
        if tuned:
            milliseconds = max(1, int(self.patience * 1000))
            settings |= _TUNED
            # What the client gave up must not be done later on.
            settings["statement_timeout"] = str(milliseconds)
            settings["idle_in_transaction_session_timeout"] = str(2 * milliseconds)
        return settings


def normal(dsn: str) -> str:
    """The URL with the scheme that asyncpg knows: ``postgresql+asyncpg`` is somebody else's."""
    scheme = scheme_of(dsn) or ""
    return f"postgresql://{dsn.partition('://')[2]}" if driver_name(scheme) == "postgres" else dsn


def _check(dsn: str) -> None:
    if not isinstance(dsn, str) or driver_name(scheme_of(dsn) or "") != "postgres":
        raise ConfigError(
            f"{masked(str(dsn))!r} is no URL of a PostgreSQL database; write "
            "postgresql://user:password@host:5432/database."
        )
    try:
        urlsplit(dsn).port  # noqa: B018 - reading it checks it
    except ValueError as error:
        if "," not in urlsplit(dsn).netloc:  # Several hosts are asyncpg's to read.
            raise ConfigError(f"{masked(dsn)!r}: {error}") from error
