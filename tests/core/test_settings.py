"""Settings: where they come from, who wins, and what is refused."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncqueue.backoff import exponential, fixed
from asyncqueue.errors import ConfigError
from asyncqueue.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("clean_environment")

DEFAULTS: dict[str, Any] = {
    "driver": "memory",
    "url": None,
    "redis_host": "localhost",
    "redis_port": 6379,
    "redis_db": 0,
    "redis_password": "",
    "database_url": "sqlite:///queue.db",
    "table": "jobs",
    "failed_table": "failed_jobs",
    "default": "default",
    "max_attempts": 3,
    "retry_delay": None,
    "timeout": 30.0,
    "poll_interval": 0.1,
    "workers": 10,
    "lease": 30.0,
    "grace": 0.0,
    "retention": 3600.0,
    "failed_retention": 7 * 24 * 3600.0,
    "cleanup_interval": 3600.0,
    "recovery": True,
    "prefix": "asyncqueue",
    "max_payload": 1024 * 1024,
    "signing_keys": (),
    "encryption_keys": (),
}


def refused(**explicit: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(**explicit)
    return str(caught.value)


class TestDefaults:
    def test_fields_and_defaults_are_the_documented_ones(self) -> None:
        assert msgspec.structs.asdict(Settings()) == DEFAULTS

    @pytest.mark.case("CFG-01", "CFG-02", "CFG-03", "CFG-09")
    def test_an_empty_environment_gives_the_defaults(self) -> None:
        """Unset variables."""
        assert Settings.from_env() == Settings()

    def test_they_are_frozen(self) -> None:
        with pytest.raises(AttributeError):
            Settings().timeout = 3


class TestEnvironment:
    @pytest.mark.case("CFG-08", "CFG-09", "CFG-18")
    @pytest.mark.parametrize(
        ("field", "text", "value"),
        [
            ("driver", " SQLite ", "sqlite"),
            ("url", "sqlite:///x.db", "sqlite:///x.db"),
            ("redis_host", "cache", "cache"),
            ("redis_port", "6380", 6380),
            ("redis_db", "2", 2),
            ("redis_password", " s3cret ", " s3cret "),
            ("database_url", "sqlite:////q.db", "sqlite:////q.db"),
            ("table", "my_jobs", "my_jobs"),
            ("failed_table", "my_failed", "my_failed"),
            ("default", "work", "work"),
            ("max_attempts", "2", 2),
            ("retry_delay", "7", 7.0),
            ("timeout", "5", 5.0),
            ("poll_interval", "2", 2.0),
            ("workers", "3", 3),
            ("lease", "90", 90.0),
            ("grace", "20s", 20.0),
            ("retention", "7d", 604800.0),
            ("failed_retention", "1d", 86400.0),
            ("cleanup_interval", "30m", 1800.0),
            ("recovery", "off", False),
            ("prefix", "shop", "shop"),
            ("max_payload", "2048", 2048),
            ("signing_keys", "new, old", ("new", "old")),
            ("encryption_keys", "ab" * 32, ("ab" * 32,)),
        ],
    )
    def test_each_variable_sets_its_field(
        self, monkeypatch: pytest.MonkeyPatch, field: str, text: str, value: object
    ) -> None:
        monkeypatch.setenv(f"QUEUE_{field.upper()}", text)
        got = msgspec.structs.asdict(Settings.from_env())
        assert got == DEFAULTS | {field: value}

    def test_every_field_is_covered_above(self) -> None:
        assert set(DEFAULTS) == set(Settings.__struct_fields__)

    @pytest.mark.parametrize("text", ["", "   "])
    def test_empty_variables_count_as_absent(
        self, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        for field in DEFAULTS:
            monkeypatch.setenv(f"QUEUE_{field.upper()}", text)
        assert Settings.from_env() == Settings()

    @pytest.mark.case("CFG-08", "CFG-17")
    def test_numbers_are_seconds_and_texts_have_units(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A plain number is seconds, milliseconds must say so."""
        monkeypatch.setenv("QUEUE_RETRY_DELAY", "1000ms")
        monkeypatch.setenv("QUEUE_TIMEOUT", "1h30m")
        settings = Settings.from_env()
        assert settings.retry_delay == 1.0
        assert settings.timeout == 5400.0

    @pytest.mark.case("CFG-19")
    def test_stale_jobs_come_back_after_the_lease_unless_switched_off(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stale timeout of other systems is the lease."""
        monkeypatch.setenv("QUEUE_LEASE", "5m")
        settings = Settings.from_env()
        assert (settings.lease, settings.recovery) == (300.0, True)
        monkeypatch.setenv("QUEUE_RECOVERY", "0")
        assert Settings.from_env().recovery is False

    @pytest.mark.parametrize("text", ["1", "TRUE", " yes ", "on"])
    def test_a_switch_is_on(self, text: str) -> None:
        assert Settings(recovery=text).recovery is True  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["0", "False", "no", " OFF "])
    def test_a_switch_is_off(self, text: str) -> None:
        assert Settings(recovery=text).recovery is False  # type: ignore[arg-type]


class TestWhoWins:
    @pytest.mark.case("CFG-10")
    def test_argument_environment_env_file_file_default(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        file = tmp_path / "queue.toml"
        file.write_text("timeout = 4\nlease = 4\ngrace = 4\nworkers = 4\n")
        (tmp_path / ".env").write_text("QUEUE_TIMEOUT=3\nQUEUE_LEASE=3\nQUEUE_GRACE=3\n")
        monkeypatch.setenv("QUEUE_TIMEOUT", "2")
        monkeypatch.setenv("QUEUE_LEASE", "2")
        settings = Settings.from_env(file=file, timeout=1)
        assert (settings.timeout, settings.lease, settings.grace, settings.workers) == (1, 2, 3, 4)
        assert settings.poll_interval == 0.1
        assert Settings.from_file(file, timeout=1) == settings

    def test_an_empty_environment_variable_lets_the_env_file_speak(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text("QUEUE_TIMEOUT=3\n")
        monkeypatch.setenv("QUEUE_TIMEOUT", "")
        assert Settings.from_env().timeout == 3

    def test_none_and_empty_arguments_count_as_absent(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QUEUE_TIMEOUT", "2")
        monkeypatch.setenv("QUEUE_DEFAULT", "work")
        settings = Settings.from_env(timeout=None, default="")
        assert (settings.timeout, settings.default) == (2, "work")

    def test_another_env_file_is_read_in_place_of_it(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("QUEUE_WORKERS=1\n")
        (tmp_path / "prod.env").write_text("QUEUE_TIMEOUT=3\n")
        settings = Settings.from_env(tmp_path / "prod.env")
        assert (settings.timeout, settings.workers) == (3, 10)

    def test_none_reads_no_env_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("QUEUE_WORKERS=1\n")
        assert Settings.from_env(None).workers == 10

    def test_a_named_env_file_must_exist(self) -> None:
        assert "prod.env" in refused(env_file="prod.env")

    def test_a_binary_env_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"QUEUE_DEFAULT=\xff\xfe\n")
        assert ".env" in refused()

    def test_an_url_wins_over_the_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QUEUE_URL", "sqlite:///x.db")
        monkeypatch.setenv("QUEUE_DRIVER", "redis")
        assert Settings.from_env().driver_url() == "sqlite:///x.db"

    @pytest.mark.case("CFG-10")
    def test_a_stronger_driver_replaces_the_url_of_another(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """An argument is never lost to an environment variable."""
        (tmp_path / ".env").write_text("QUEUE_URL=sqlite:///x.db\n")
        assert Settings.from_env(driver="sync").driver_url() == "sync://"
        assert Settings.from_env(driver="database").driver_url() == "sqlite:///x.db"
        monkeypatch.setenv("QUEUE_DRIVER", "memory")
        assert Settings.from_env().driver_url() == "memory://"
        assert Settings.from_env(url="sqlite:///y.db").driver_url() == "sqlite:///y.db"


class TestRefused:
    @pytest.mark.parametrize(
        ("field", "text"),
        [
            ("url", "queue.db"),
            ("url", "sqlite:queue.db"),
            ("redis_port", "0"),
            ("redis_port", "65536"),
            ("redis_port", "6379a"),
            ("redis_db", "-1"),
            ("database_url", "queue.db"),
            ("table", "jobs; drop table x"),
            ("table", "1jobs"),
            ("table", "a" * 64),
            ("failed_table", 'x"y'),
            ("prefix", "my app"),
            ("prefix", "{tag}"),
            ("max_attempts", "-1"),
            ("max_attempts", "2.5"),
            ("max_attempts", "many"),
            ("retry_delay", "-1"),
            ("retry_delay", "soon"),
            ("retry_delay", "inf"),
            ("timeout", "5 parsecs"),
            ("timeout", "nan"),
            ("poll_interval", "0"),
            ("poll_interval", "1e999"),
            ("workers", "four"),
            ("workers", "4.0"),
            ("lease", "0"),
            ("lease", "inf"),
            ("grace", "-1"),
            ("retention", "-1"),
            ("failed_retention", "-1"),
            ("cleanup_interval", "-1"),
            ("cleanup_interval", "inf"),
            ("recovery", "perhaps"),
            ("recovery", "2"),
            ("max_payload", "0"),
            ("max_payload", "1MB"),
        ],
    )
    def test_the_variable_its_origin_and_its_value_are_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, field: str, text: str
    ) -> None:
        """Refused at load."""
        variable = f"QUEUE_{field.upper()}"
        monkeypatch.setenv(variable, text)
        message = refused()
        assert message.startswith(f"{variable} ")
        assert repr(text) in message

        monkeypatch.delenv(variable)
        (tmp_path / ".env").write_text(f"{variable}='{text}'\n")
        assert refused().startswith(f"{variable} (from .env) ")

        (tmp_path / ".env").unlink()
        file = tmp_path / "q.toml"
        file.write_text(f"{field} = '{text}'\n")
        assert refused(file=file).startswith(f"{field} (from {file}) ")

        assert refused(**{field: text}).startswith(f"{field} ")
        with pytest.raises(ConfigError, match=field):
            Settings(**{field: text})

    def test_a_key_that_encrypts_nothing_is_refused_at_load(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("QUEUE_ENCRYPTION_KEYS", "s3cret")
        message = refused()
        assert "QUEUE_ENCRYPTION_KEYS" in message
        assert "s3cret" not in message

    @pytest.mark.case("RTY-18")
    def test_zero_attempts_mean_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("QUEUE_MAX_ATTEMPTS", "0")
        assert Settings.from_env().max_attempts == 1

    @pytest.mark.case("WRK-06", "WRK-07")
    @pytest.mark.parametrize("value", ["0", "-1"])
    def test_timeout_and_workers_from_zero_down_are_the_default(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("QUEUE_TIMEOUT", value)
        monkeypatch.setenv("QUEUE_WORKERS", value)
        assert Settings.from_env() == Settings()

    def test_no_timeout_is_said_with_infinity(self) -> None:
        assert Settings.from_env(timeout=math.inf).timeout == math.inf
        assert Settings.from_env(timeout="inf").timeout == math.inf

    def test_zero_stays_zero_where_it_has_a_meaning(self) -> None:
        settings = Settings(retention=0, retry_delay=0, cleanup_interval=0)
        assert (settings.retention, settings.retry_delay, settings.cleanup_interval) == (0, 0, 0)

    def test_the_two_tables_must_differ(self) -> None:
        with pytest.raises(ConfigError, match="differ"):
            Settings(table="jobs", failed_table="JOBS")

    def test_unknown_arguments_are_refused(self) -> None:
        assert 'Did you mean "workers"?' in refused(worker=3)

    def test_true_is_not_a_number(self) -> None:
        assert "workers" in refused(workers=True)
        assert "timeout" in refused(timeout=True)

    def test_code_may_give_timedelta(self) -> None:
        """Delays are seconds or timedelta everywhere."""
        assert Settings.from_env(grace=timedelta(minutes=1)).grace == 60.0
        assert Settings(lease=timedelta(minutes=1)).lease == 60.0

    @pytest.mark.parametrize("keys", ["a,,b", "a,", ["a", ""], [b""], [1], {"a": 1}, 5])
    def test_keys_that_are_none(self, keys: Any) -> None:
        assert "signing_keys" in refused(signing_keys=keys)

    def test_keys_may_be_bytes(self) -> None:
        assert Settings.from_env(signing_keys=[b"new", "old"]).signing_keys == (b"new", "old")


class TestBackoff:
    @pytest.mark.case("CFG-08")
    def test_a_retry_delay_switches_to_fixed(self) -> None:
        assert Settings().backoff == exponential(1, 300)
        assert Settings(retry_delay=7).backoff == fixed(7)
