"""The settings of a queue and its workers, checked where they are loaded."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from asyncqueue.backoff import Backoff, exponential, fixed
from asyncqueue.errors import ConfigError
from asyncqueue.settings_checks import DEFAULT_TIMEOUT, DEFAULT_WORKERS, check, presentable
from asyncqueue.settings_sources import DEFAULT_ENV_FILE, StrPath, gather
from asyncqueue.urls import driver_name, masked, scheme_of


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings by the names of their variables: ``timeout`` is ``QUEUE_TIMEOUT``.

    Durations are seconds; ``timedelta`` and text such as ``"1h30m"`` are taken too and become
    seconds. Raises :class:`~asyncqueue.errors.ConfigError` naming the setting and its value
    when one cannot be understood.
    """

    driver: str = "memory"
    """memory, sync, database, sqlite, postgres, redis or a registered name."""
    url: str | None = None
    """The store's URL; wins over ``driver`` and the parts."""
    redis_host: str = "localhost"
    redis_port: int = 6379
    redis_db: int = 0
    redis_password: str = ""
    database_url: str = "sqlite:///queue.db"
    """For the drivers database, sqlite and postgres."""
    table: str = "jobs"
    failed_table: str = "failed_jobs"
    default: str = "default"
    """The queue of jobs that name none, and of workers without a list."""
    max_attempts: int = 3
    """Runs of a job that does not say; 0 and 1 both mean one."""
    retry_delay: float | None = None
    """Seconds between attempts; None is the exponential default."""
    timeout: float = DEFAULT_TIMEOUT
    """Seconds per attempt; 0 or less means the default, infinity none."""
    poll_interval: float = 0.1
    workers: int = DEFAULT_WORKERS
    """Jobs that one worker runs at a time; 0 or less means the default."""
    lease: float = 30.0
    grace: float = 0.0
    retention: float = 3600.0
    """Seconds that a finished job is kept, 0 for not at all."""
    failed_retention: float = 604800.0
    """Seconds that a failed job is kept, infinity for ever."""
    cleanup_interval: float = 3600.0
    """Seconds between two removals of old records, 0 for none."""
    recovery: bool = True
    """Whether workers take back the jobs of dead ones."""
    prefix: str = "asyncqueue"
    max_payload: int = 1024 * 1024
    """Bytes that an encoded job may have."""
    signing_keys: tuple[str | bytes, ...] = ()
    """The first signs, all verify."""
    encryption_keys: tuple[str | bytes, ...] = ()
    """The first encrypts, all decrypt."""

    def __post_init__(self) -> None:
        """Check what was given, and put it in seconds."""
        for name in self.__struct_fields__:
            given = getattr(self, name)
            checked = check(name, given, name)
            if checked is not given:
                msgspec.structs.force_setattr(self, name, checked)
        if self.table.lower() == self.failed_table.lower():
            raise ConfigError(f"table and failed_table must differ, both are {self.table!r}")

    @classmethod
    def from_env(
        cls,
        env_file: StrPath | None = DEFAULT_ENV_FILE,
        *,
        file: StrPath | None = None,
        **explicit: Any,
    ) -> Settings:
        """Settings from arguments, the environment, an env file and a file, in this order.

        ``explicit`` are fields of this class; None and empty text count as absent everywhere.
        An ``env_file`` other than ``.env`` must exist; None reads none. In the file, YAML or
        TOML, settings stand at the top or under ``queue``, and ``${VAR}`` or
        ``${VAR:-default}`` is replaced from the environment and the env file. ``REDIS_URL``
        and ``DATABASE_URL`` stand in where none of ours is given. Nothing connects.

        Raises :class:`~asyncqueue.errors.ConfigError` naming variable, origin and value.
        """
        given = gather(cls.__struct_fields__, env_file, file, explicit)
        return cls(**{name: check(name, item.value, item.label) for name, item in given.items()})

    @classmethod
    def from_file(
        cls, path: StrPath, *, env_file: StrPath | None = DEFAULT_ENV_FILE, **explicit: Any
    ) -> Settings:
        """As :meth:`from_env` with this file: arguments and environment win over it."""
        return cls.from_env(env_file, file=path, **explicit)

    @property
    def backoff(self) -> Backoff:
        """How long a job waits between attempts unless it says itself."""
        return exponential() if self.retry_delay is None else fixed(self.retry_delay)

    def driver_url(self) -> str:
        """The URL of the store that these settings stand for.

        Raises :class:`~asyncqueue.errors.ConfigError` when ``database_url`` belongs to
        another driver than ``driver``.
        """
        if self.url is not None:
            return self.url
        name = driver_name(self.driver)
        if name == "database":
            return self.database_url
        if name == "redis":
            password = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
            return f"redis://{password}{self.redis_host}:{self.redis_port}/{self.redis_db}"
        if name not in ("sqlite", "postgres"):
            return f"{name}://"
        if driver_name(scheme_of(self.database_url) or "") != name:
            raise ConfigError(
                f"QUEUE_DRIVER is {self.driver}, but QUEUE_DATABASE_URL is "
                f"{masked(self.database_url)!r}. Give a {name} URL, or another driver."
            )
        return self.database_url

    def __repr__(self) -> str:
        shown = (f"{name}={shown!r}" for name, shown in self.__rich_repr__())
        return f"Settings({', '.join(shown)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Names and values, secrets masked."""
        return [(name, presentable(name, getattr(self, name))) for name in self.__struct_fields__]
