"""Which driver a URL or a name stands for; others plug theirs in here."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Final

import msgspec

from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.locations import bare, postgres_dsn, sqlite_options, sqlite_path
from asyncqueue.errors import AsyncQueueError, ConfigError, UnknownDriver
from asyncqueue.registry import suggest
from asyncqueue.settings import Settings
from asyncqueue.urls import driver_name, masked, scheme_of

DriverFactory = Callable[[Settings], Driver]
"""Builds a driver without connecting; ``settings.url`` is the URL in use."""

GROUP: Final = "asyncqueue.drivers"
_NAME: Final = re.compile(r"[a-z][a-z0-9+._-]*")


def register_driver(
    name: str, factory: DriverFactory, *, replace: bool = False
) -> DriverFactory | None:
    """Let URLs ``name://…`` and ``QUEUE_DRIVER=name`` build drivers with this factory.

    The factory is called with the :class:`~asyncqueue.Settings`, whose ``url`` is the URL in
    use, and must not connect. Names are compared trimmed and without case. Answers the factory
    that ``replace`` replaced, be it the same one. Without it the same factory again is a no-op.

    Raises ``ValueError`` for an empty or, without ``replace``, a taken name, ``TypeError`` for a
    factory that cannot be called.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a driver must be a string, got {name!r}")
    key = driver_name(name)
    if not _NAME.fullmatch(key) or key == "database":
        raise ValueError(f"A driver needs a name that can start a URL, got {name!r}")
    if not callable(factory):
        raise TypeError(f"The driver {key!r} needs a factory that takes settings, got {factory!r}")
    taken = _factories.get(key)
    if taken is factory and not replace:
        return None
    if taken is not None and not replace:
        raise ValueError(f"The driver name {key!r} is taken by {taken!r}; replace=True takes over.")
    _factories[key] = factory
    return taken


def driver_names() -> list[str]:
    """The names of all drivers, plugged in ones included, sorted."""
    return sorted({*_factories, *(point.name.strip().lower() for point in _entry_points())})


def driver_from(target: str | Settings, settings: Settings | None = None) -> Driver:
    """The driver, not yet opened, of a URL, a name, or the settings themselves.

    Raises :class:`~asyncqueue.errors.UnknownDriver` when nobody registered it and
    :class:`~asyncqueue.errors.ConfigError` for a URL that it cannot use. Does no I/O.
    """
    if not isinstance(target, (str, Settings)):
        raise TypeError(f"A store is given by a URL, a driver's name or a Driver, got {target!r}")
    effective = _effective(target, settings or Settings())
    name = effective.driver
    factory = _find(name)
    try:
        driver = factory(effective)
    except AsyncQueueError:
        raise
    except (TypeError, ValueError) as error:
        url = masked(effective.url or "")
        raise ConfigError(f"The {name} driver cannot be built from {url!r}: {error}") from error
    if not isinstance(driver, Driver):
        raise TypeError(f"The factory of the {name} driver must give a Driver, got {driver!r}")
    return driver


def _effective(target: str | Settings, settings: Settings) -> Settings:
    """The settings with ``url`` and ``driver`` as they are in use."""
    if isinstance(target, Settings):
        settings = target
    elif scheme_of(target) is None:
        settings = msgspec.structs.replace(settings, driver=_bare_name(target), url=None)
    else:
        settings = msgspec.structs.replace(settings, url=target)
    if settings.url is None:
        name = driver_name(settings.driver)
        if name != "database":
            # Before its URL is asked for, whose parts may be missing.
            _find(name)
    url = settings.driver_url()
    return msgspec.structs.replace(settings, url=url, driver=driver_name(scheme_of(url) or ""))


def _bare_name(text: str) -> str:
    name = text.strip().lower()
    if not _NAME.fullmatch(name) or name.endswith((".db", ".sqlite", ".sqlite3")):
        raise ConfigError(
            f"{masked(text)!r} names no store. Write a URL such as memory://, "
            "sqlite:///queue.db (relative) or sqlite:////var/lib/queue.db (absolute)."
        )
    return name


def _find(name: str) -> DriverFactory:
    factory = _factories.get(name) or _plugged_in(name)
    if factory is not None:
        return factory
    raise UnknownDriver(f'Unknown driver "{name}".{suggest(name, driver_names())}')


def _plugged_in(name: str) -> DriverFactory | None:
    for point in _entry_points():
        if point.name.strip().lower() == name:
            try:
                factory: DriverFactory = point.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(
                    f"The {name} driver, {point.value}, cannot be imported: {error}"
                ) from error
            return factory
    return None


def _entry_points() -> tuple[Any, ...]:
    return tuple(entry_points(group=GROUP))


def _memory(settings: Settings) -> Driver:
    bare(settings.url or "", "memory://")
    from asyncqueue.drivers.memory import MemoryDriver  # noqa: PLC0415

    return MemoryDriver()


def _sync(settings: Settings) -> Driver:
    bare(settings.url or "", "sync://")
    from asyncqueue.drivers.sync import SyncDriver  # noqa: PLC0415

    return SyncDriver()


def _sqlite(settings: Settings) -> Driver:
    url = settings.url or ""
    path, options = sqlite_path(url), sqlite_options(url)
    from asyncqueue.drivers.sqlite import SqliteDriver  # noqa: PLC0415

    return SqliteDriver(path, table=settings.table, failed_table=settings.failed_table, **options)


def _postgres(settings: Settings) -> Driver:
    dsn, options = postgres_dsn(settings.url or "")
    try:
        from asyncqueue.drivers.postgres import PostgresDriver  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _lacking(error, "postgres", "asyncpg") from error
    return PostgresDriver(dsn, table=settings.table, failed_table=settings.failed_table, **options)


def _redis(settings: Settings) -> Driver:
    url = settings.url or ""
    if not url.partition("://")[2]:  # The bare name.
        url = f"{url}localhost"
    try:
        from asyncqueue.drivers.redis import RedisDriver  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _lacking(error, "redis", "redis", "hiredis") from error
    return RedisDriver(url, prefix=settings.prefix)


def _lacking(error: ModuleNotFoundError, driver: str, *packages: str) -> Exception:
    """What to say where a package of a driver's own is not installed."""
    name = (error.name or "").partition(".")[0]
    if name not in packages:
        return error
    return ConfigError(
        f"The {driver} driver needs {name}, which is not installed: "
        f"pip install asyncqueue[{driver}]"
    )


_factories: Final[dict[str, DriverFactory]] = {
    "memory": _memory,
    "postgres": _postgres,
    "redis": _redis,
    "sqlite": _sqlite,
    "sync": _sync,
}
