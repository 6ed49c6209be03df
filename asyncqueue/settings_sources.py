"""Where settings come from: arguments, environment, ``.env`` and a file, in this order."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from asyncqueue.errors import ConfigError
from asyncqueue.registry import suggest
from asyncqueue.urls import driver_name, scheme_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import BinaryIO

PREFIX: Final = "QUEUE_"
DEFAULT_ENV_FILE: Final = ".env"
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FOREIGN: Final = {
    "connection": "url",
    "database": "redis_db",
    "password": "redis_password",
    "default_queue": "default",
    "queue": "default",
    "concurrency": "workers",
    "max_retries": "max_attempts (all runs, one more than retries)",
    "backoff": "retry_delay",
}
"""What other systems call a setting of ours."""

StrPath = str | os.PathLike[str]


class Given(msgspec.Struct, frozen=True):
    """A value, the name it was given under and the file it stands in, if it is one."""

    value: Any
    name: str
    where: str = ""

    @property
    def label(self) -> str:
        """How a message calls it: ``QUEUE_TIMEOUT (from .env)``."""
        return f"{self.name} (from {self.where})" if self.where else self.name

    @property
    def present(self) -> bool:
        """Whether it counts: None and empty text do not."""
        return self.value is not None and not (
            isinstance(self.value, str) and not self.value.strip()
        )


Layer = dict[str, Given]


def gather(
    fields: Collection[str],
    env_file: StrPath | None,
    file: StrPath | None,
    explicit: Mapping[str, Any],
) -> Layer:
    """Every setting that was given anywhere, from the strongest of its sources.

    Raises :class:`~asyncqueue.errors.ConfigError` for a file that cannot be read, an unknown
    name in it or among the arguments, and a placeholder without a value.
    """
    variables = list(_variables(env_file))
    environment: dict[str, Given] = {}
    for layer in variables:
        environment = layer | environment
    layers = [
        _named(explicit, fields, where=""),
        *(_prefixed(layer, fields) for layer in variables),
        _from_file(Path(file), fields, environment) if file is not None else {},
    ]
    _drop_outranked_url(layers)
    given: Layer = {}
    for layer in layers:
        given = layer | given
    _fall_back(given, environment)
    return given


def _variables(env_file: StrPath | None) -> Iterator[dict[str, Given]]:
    yield {name: Given(value, name) for name, value in os.environ.items()}
    if env_file is None:
        return
    path = Path(env_file)
    if not path.is_file():
        if str(env_file) != DEFAULT_ENV_FILE:
            raise ConfigError(f"There is no env file {str(path)!r}.")
        return
    # Only programs that configure themselves from the environment pay for the import.
    from dotenv import dotenv_values  # noqa: PLC0415

    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The env file {str(path)!r} cannot be read: {error}") from error
    yield {
        name: Given(value, name, where=str(path))
        for name, value in values.items()
        if value is not None
    }


def _prefixed(variables: Mapping[str, Given], fields: Collection[str]) -> Layer:
    named = {name: variables.get(f"{PREFIX}{name.upper()}") for name in fields}
    return {name: given for name, given in named.items() if given is not None and given.present}


def _named(values: Mapping[str, Any], fields: Collection[str], where: str) -> Layer:
    for name in values:
        if name not in fields:
            raise ConfigError(
                f'Unknown setting "{name}"{f" in {where}" if where else ""}.'
                f"{_hint(name) or suggest(name, fields)}"
            )
    named = {name: Given(value, name, where) for name, value in values.items()}
    return {name: given for name, given in named.items() if given.present}


def _hint(name: str) -> str:
    return f" Here it is called {_FOREIGN[name]}." if name in _FOREIGN else ""


def _drop_outranked_url(layers: list[Layer]) -> None:
    """A driver that a stronger source names replaces a URL of another driver.

    Within one source the URL wins.
    """
    for rank, layer in enumerate(layers):
        if "url" in layer:
            return
        if "driver" in layer:
            wanted = driver_name(str(layer["driver"].value))
            for weaker in layers[rank + 1 :]:
                url = weaker.get("url")
                if url is not None and not _agree(wanted, str(url.value)):
                    del weaker["url"]
            return


def _agree(driver: str, url: str) -> bool:
    means = driver_name(scheme_of(url) or "")
    return means == driver or (driver == "database" and means in ("sqlite", "postgres"))


def _fall_back(given: Layer, environment: Mapping[str, Given]) -> None:
    """Take ``REDIS_URL`` and ``DATABASE_URL`` where nothing of ours says otherwise."""
    driver = driver_name(str(given["driver"].value)) if "driver" in given else ""
    redis, database = environment.get("REDIS_URL"), environment.get("DATABASE_URL")
    if (
        redis is not None
        and redis.present
        and driver == "redis"
        and not any(name == "url" or name.startswith("redis_") for name in given)
    ):
        given["url"] = redis
    if database is not None and database.present and "database_url" not in given:
        # It belongs to the application: one that does not suit the driver is none of ours.
        fits = _agree(driver, database.value) or driver not in ("sqlite", "postgres")
        if driver == "database" or (fits and scheme_of(database.value)):
            given["database_url"] = database


def _from_file(path: Path, fields: Collection[str], environment: Mapping[str, Given]) -> Layer:
    where = str(path)
    try:
        with path.open("rb") as stream:
            content = _parsed(stream, path)
    except OSError as error:
        raise ConfigError(f"The file {where!r} cannot be read: {error.strerror}") from error
    named = _mapping({} if content is None else content)
    nested = None if named is None else _mapping(named.get("queue"))
    settings = named if nested is None else nested
    if settings is None:
        raise ConfigError(f"{where}: settings must be given by name, as in `driver: sqlite`.")
    filled = {
        name: _filled(value, environment, f"{name} (from {where})")
        for name, value in settings.items()
    }
    return _named(filled, fields, where)


def _mapping(content: Any) -> dict[str, Any] | None:
    if not isinstance(content, dict):
        return None
    return {str(name): value for name, value in cast("dict[Any, Any]", content).items()}


def _parsed(stream: BinaryIO, path: Path) -> Any:
    kind = path.suffix.lower()
    if kind == ".toml":
        try:
            return tomllib.load(stream)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from error
    if kind not in (".yaml", ".yml"):
        raise ConfigError(f"Settings are read from .yaml, .yml or .toml files, got {str(path)!r}.")
    try:
        import yaml  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f'{path} needs the PyYAML package: pip install "asyncqueue[yaml]", or use TOML.'
        ) from error
    try:
        return yaml.safe_load(stream)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def _filled(value: Any, environment: Mapping[str, Given], label: str) -> Any:
    """The value with each ``${VAR}`` and ``${VAR:-default}`` replaced."""
    if isinstance(value, list):
        return [_filled(item, environment, label) for item in cast("list[Any]", value)]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, has_default, default = match[1].partition(":-")
        if not _VARIABLE.fullmatch(name) or "${" in default:
            raise ConfigError(
                f"{label}: {match[0]} is not a placeholder; write ${{NAME}} or ${{NAME:-default}}."
            )
        found = environment.get(name)
        if found is not None and (found.present or not has_default):
            return str(found.value)
        if has_default:
            return default
        raise ConfigError(
            f"{label}: the variable {name} is not set. Set it, or write ${{{name}:-default}}."
        )

    return _PLACEHOLDER.sub(replacement, value)
