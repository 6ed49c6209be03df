"""Drivers by URL and name, and drivers of others."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers import registry
from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.registry import driver_from, driver_names, register_driver
from asyncqueue.errors import AsyncQueueError, ConfigError, UnknownDriver
from asyncqueue.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asyncqueue.record import Claimed, Filter, Found, QueueCounts, Record, Settlement, Source


class Kafka(Driver):
    """A third-party driver that remembers what it was built from."""

    name = "kafka"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def enqueue(
        self, records: Sequence[Record], *, within: object | None = None
    ) -> list[str | None]:
        raise NotImplementedError

    async def claim(
        self, sources: Sequence[Source], limit: int, lease: float, worker: str
    ) -> Claimed:
        raise NotImplementedError

    async def settle(self, settlements: Sequence[Settlement]) -> list[bool]:
        raise NotImplementedError

    async def find(self, which: Filter, **options: Any) -> Found:
        raise NotImplementedError

    async def counts(self) -> dict[str, QueueCounts]:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Registrations of one test do not reach another."""
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_entry_points", lambda: ())
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def sqlite(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the sqlite driver is built from."""
    built: list[tuple[str, dict[str, Any]]] = []

    def build(path: str, **options: Any) -> Driver:
        built.append((path, options))
        return Kafka(Settings())

    module = SimpleNamespace(SqliteDriver=build)
    monkeypatch.setitem(sys.modules, "asyncqueue.drivers.sqlite", module)
    return built


def message(target: Any, settings: Settings | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        driver_from(target, settings)
    return str(caught.value)


class TestBuiltIn:
    @pytest.mark.case("CFG-13", "DRV-17")
    @pytest.mark.parametrize("target", ["memory://", "memory", " Memory ", "MEMORY://", Settings()])
    def test_memory(self, target: str | Settings) -> None:
        assert isinstance(driver_from(target), MemoryDriver)

    @pytest.mark.case("CFG-06")
    @pytest.mark.parametrize("target", ["sync://", "sync", Settings(driver="sync")])
    def test_sync(self, target: str | Settings) -> None:
        assert driver_from(target).name == "sync"

    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("sqlite:///queue.db", "queue.db"),
            ("sqlite:///data/queue.db", "data/queue.db"),
            ("sqlite:////var/lib/queue.db", "/var/lib/queue.db"),
            ("sqlite:///a%20b%3Fc%23.db", "a b?c#.db"),
            ("sqlite:///a#b.db", "a#b.db"),
            ("sqlite+aiosqlite:///queue.db", "queue.db"),
            ("sqlite", "queue.db"),
            ("database", "queue.db"),
            (Settings(driver="sqlite", database_url="sqlite:////x.db"), "/x.db"),
            (Settings(driver="database", database_url="sqlite:////x.db"), "/x.db"),
            (Settings(driver="memory", url="sqlite:////x.db"), "/x.db"),
        ],
    )
    def test_sqlite_paths(
        self, sqlite: list[Any], target: str | Settings, path: str, tmp_path: Path
    ) -> None:
        driver_from(target)
        assert sqlite == [(path, {"table": "jobs", "failed_table": "failed_jobs"})]
        assert list(tmp_path.iterdir()) == [], "building does no I/O"

    @pytest.mark.case("CFG-03")
    def test_sqlite_tables_and_options(self, sqlite: list[Any]) -> None:
        settings = Settings(table="my_jobs", failed_table="my_failed")
        driver_from("sqlite:///q.db?synchronous=normal&busy_timeout=500ms", settings)
        tables = {"table": "my_jobs", "failed_table": "my_failed"}
        assert sqlite == [("q.db", {**tables, "synchronous": "NORMAL", "busy_timeout": 0.5})]

    def test_the_real_sqlite_driver_does_no_io(self, tmp_path: Path) -> None:
        assert driver_from("sqlite:///q.db?synchronous=NORMAL&busy_timeout=1").name == "sqlite"
        assert list(tmp_path.iterdir()) == []

    def test_a_value_that_the_driver_refuses_is_a_config_error(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def picky(settings: Settings) -> Driver:
            raise ValueError("synchronous must be NORMAL or FULL")

        register_driver("picky", picky)
        text = message("picky://u:s3cret@host")
        assert "synchronous must be" in text
        assert "picky://u:***@host" in text
        assert "s3cret" not in text


class TestWrongUrls:
    @pytest.mark.parametrize(
        ("url", "right"),
        [
            ("sqlite://x.db", "sqlite:///x.db"),
            ("sqlite://", "sqlite:///queue.db"),
            ("sqlite:///", "sqlite:///queue.db"),
            ("sqlite:////", "sqlite:///queue.db"),
            ("sqlite:///:memory:", "memory://"),
            ("sqlite:queue.db", "sqlite:///queue.db"),
            ("sqlite:/queue.db", "sqlite:///queue.db"),
            ("queue.db", "sqlite:///queue.db"),
            ("/var/lib/queue.db", "sqlite:////"),
            ("", "sqlite:///queue.db"),
            ("memory://jobs", "memory://"),
            ("memory://?x=1", "memory://"),
            ("sync://now", "sync://"),
        ],
    )
    def test_the_right_spelling_is_shown(self, url: str, right: str) -> None:
        text = message(url)
        assert f"{url!r}" in text
        assert right in text

    def test_zero_bytes(self) -> None:
        assert "zero byte" in message("sqlite:///a%00.db")

    def test_unknown_options_are_refused(self) -> None:
        text = message("sqlite:///q.db?sychronous=FULL&password=s3cret")
        assert 'no option "sychronous"' in text
        assert 'Did you mean "synchronous"?' in text
        assert "s3cret" not in text

    def test_options_that_cannot_be_read(self) -> None:
        text = message("sqlite:///q.db?busy_timeout=soon")
        assert "busy_timeout: 'soon' is not a duration" in text
        assert "synchronous" in message("sqlite:///q.db?synchronous=SOMETIMES")

    def test_passwords_are_masked(self) -> None:
        assert "s3cret" not in message("user:s3cret@host")
        assert "s3cret" not in message("sqlite://user:s3cret@host")


class TestUnknown:
    def unknown(self, target: Any) -> str:
        with pytest.raises(UnknownDriver) as caught:
            driver_from(target)
        return str(caught.value)

    @pytest.mark.case("CFG-05")
    @pytest.mark.parametrize(
        "target", ["memori", " MEMORI ", "Memori://", Settings(driver=" Memori ")]
    )
    def test_it_is_named_with_a_suggestion_and_all_names(self, target: Any) -> None:
        register_driver(" Kafka", Kafka)
        text = self.unknown(target)
        assert text == (
            'Unknown driver "memori". Did you mean "memory"? '
            "Known: kafka, memory, postgres, redis, sqlite, sync."
        )

    def test_it_is_an_error_of_ours(self) -> None:
        assert issubclass(UnknownDriver, AsyncQueueError)


class TestPostgres:
    @pytest.mark.case("DRV-17")
    @pytest.mark.parametrize(
        ("target", "location"),
        [
            ("postgres://u:s3cret@h/db", "postgresql://u@h/db"),
            ("postgresql://h:6000/db", "postgresql://h:6000/db"),
            ("postgresql+asyncpg://h/db?sslmode=require", "postgresql://h/db"),
            (Settings(driver="postgres", database_url="postgres://h/db"), "postgresql://h/db"),
            (Settings(driver="database", database_url="postgres://h/db"), "postgresql://h/db"),
        ],
    )
    def test_its_urls(self, target: Any, location: str) -> None:
        driver = driver_from(target)
        assert (driver.name, driver.location()) == ("postgres", location)

    def test_its_options_are_taken_out_of_the_url(self) -> None:
        url = "postgres://h/db?schema=q&sslmode=require&timeout=2s&pool_size=3&target=x"
        driver = driver_from(url, Settings(table="work", failed_table="broken"))
        assert driver._place.dsn == "postgresql://h/db?sslmode=require&target=x"
        assert (driver._place.patience, driver._place.pool_size) == (2, 3)
        assert driver._tables.quoted()["jobs"] == '"q"."work"'
        assert driver._tables.quoted()["failed"] == '"q"."broken"'

    @pytest.mark.parametrize(
        "query",
        [
            "schema=a-b",
            "schema=pg_mine",
            "schema=",
            "pool_size=none",
            "pool_size=1",
            "timeout=0",
            "timeout=soon",
            "statement_cache_size=-1",
            "listen_dsn=redis://h",
        ],
    )
    def test_options_that_cannot_be_used_are_refused(self, query: str) -> None:
        """What was given is named, secrets are not."""
        text = message(f"postgres://u:s3cret@h/db?{query}")
        assert query.partition("=")[0] in text or "redis://h" in text
        assert "s3cret" not in text

    @pytest.mark.parametrize("settings", [{"table": "t" * 60}, {"failed_table": "jobs_meta"}])
    def test_names_that_cannot_be_used_are_refused(self, settings: dict[str, str]) -> None:
        """PostgreSQL would cut them off, or they are taken."""
        assert next(iter(settings.values())) in message("postgres://h/db", Settings(**settings))

    def test_a_missing_package_is_told_with_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in tuple(sys.modules):
            if name.startswith("asyncqueue.drivers.postgres"):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "asyncpg", None)
        assert "pip install asyncqueue[postgres]" in message("postgres://h/db")


class TestPluggedIn:
    @pytest.mark.case("DRV-18")
    def test_a_factory_gets_the_settings_with_the_url_in_use(self) -> None:
        register_driver("kafka", Kafka)
        driver = driver_from("kafka://broker/topic?x=1", Settings(workers=4))
        assert isinstance(driver, Kafka)
        assert driver.settings.url == "kafka://broker/topic?x=1"
        assert driver.settings.driver == "kafka"
        assert driver.settings.workers == 4

    @pytest.mark.case("DRV-19")
    @pytest.mark.parametrize("target", ["Kafka", Settings(driver="kafka", url=None)])
    def test_by_name(self, target: Any) -> None:
        """The environment names it."""
        register_driver("kafka", Kafka)
        driver = driver_from(target)
        assert isinstance(driver, Kafka)
        assert driver.settings.url == "kafka://"

    def test_known_words_can_be_plugged_in(self) -> None:
        register_driver("postgresql", Kafka, replace=True)
        for url in ("postgres://h/db", "postgresql://h/db", "postgresql+asyncpg://h/db"):
            driver = driver_from(url)
            assert isinstance(driver, Kafka)
            assert driver.settings.url == url
        assert driver_names() == ["memory", "postgres", "redis", "sqlite", "sync"]

    @pytest.mark.case("DRV-21")
    @pytest.mark.parametrize("name", ["", "  ", "a b", "://", "1x", "database"])
    def test_a_name_is_needed(self, name: str) -> None:
        with pytest.raises(ValueError, match="needs a name"):
            register_driver(name, Kafka)

    @pytest.mark.case("DRV-21")
    def test_a_factory_is_needed(self) -> None:
        with pytest.raises(TypeError, match="needs a factory"):
            register_driver("kafka", None)
        with pytest.raises(TypeError, match="must be a string"):
            register_driver(5, Kafka)
        assert "kafka" not in driver_names()

    @pytest.mark.case("DRV-21")
    @pytest.mark.parametrize("name", ["kafka", " KAFKA "])
    def test_a_taken_name_is_refused(self, name: str) -> None:
        register_driver("kafka", Kafka)
        with pytest.raises(ValueError, match="taken"):
            register_driver(name, lambda settings: Kafka(settings))  # noqa: PLW0108 - another object
        with pytest.raises(ValueError, match="taken"):
            register_driver("memory", Kafka)
        assert isinstance(driver_from("kafka"), Kafka)
        assert isinstance(driver_from("memory"), MemoryDriver)

    def test_the_same_factory_again_is_a_no_op(self) -> None:
        assert register_driver("kafka", Kafka) is None
        assert register_driver("kafka", Kafka) is None

    @pytest.mark.case("DRV-21")
    def test_replacing_hands_back_the_old_factory(self) -> None:
        assert register_driver("kafka", Kafka) is None

        def other(settings: Settings) -> Driver:
            return MemoryDriver()

        assert register_driver("kafka", other, replace=True) is Kafka
        assert isinstance(driver_from("kafka"), MemoryDriver)
        assert register_driver("kafka", other, replace=True) is other

    def test_what_a_factory_gives_must_be_a_driver(self) -> None:
        register_driver("odd", lambda settings: object())
        with pytest.raises(TypeError, match="must give a Driver"):
            driver_from("odd://")

    @pytest.mark.case("DRV-22")
    def test_errors_of_ours_pass_a_factory_unchanged(self) -> None:
        """A clear error at once."""
        error = ConfigError("no connection was given")

        def refuses(settings: Settings) -> Driver:
            raise error

        register_driver("refuses", refuses)
        with pytest.raises(ConfigError) as caught:
            driver_from("refuses://")
        assert caught.value is error


class TestEntryPoints:
    def install(self, monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
        monkeypatch.setattr(registry, "_entry_points", lambda: points)

    def test_they_are_found_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        point = EntryPoint("Kafka", f"{__name__}:Kafka", registry.GROUP)
        self.install(monkeypatch, point)
        assert driver_from("kafka://x").name == "kafka"
        assert driver_names() == ["kafka", "memory", "postgres", "redis", "sqlite", "sync"]

    def test_a_registered_one_goes_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.install(monkeypatch, EntryPoint("memory", "nowhere:Driver", registry.GROUP))
        assert isinstance(driver_from("memory"), MemoryDriver)

    @pytest.mark.parametrize("value", ["no_such_module_here:Driver", "asyncqueue.errors:Nothing"])
    def test_one_that_cannot_be_imported_is_named(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        self.install(monkeypatch, EntryPoint("kafka", value, registry.GROUP))
        text = message("kafka://")
        assert "kafka" in text
        assert value in text

    def test_the_group_is_the_documented_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.undo()
        monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [])
        driver_names()
        assert asked == ["asyncqueue.drivers"]

    def test_one_installed_after_the_first_look_is_found(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.undo()
        assert "late" not in driver_names()
        package = tmp_path / "late-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
        (package / "entry_points.txt").write_text(f"[{registry.GROUP}]\nlate = {__name__}:Kafka\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert driver_from("late://x").name == "kafka"
