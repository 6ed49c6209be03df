"""The URL that settings stand for, and what they never show."""

from __future__ import annotations

from typing import Any

import pytest

from asyncqueue.errors import ConfigError
from asyncqueue.settings import Settings

pytestmark = pytest.mark.usefixtures("clean_environment")


class TestSecrets:
    def test_repr_masks_them(self) -> None:
        settings = Settings(
            url="redis://user:s3cret@host/0?password=s3cret",
            redis_password="s3cret",
            database_url="postgresql://u:s3cret@host/db",
            signing_keys=("s3cret",),
            encryption_keys=("s3cret".ljust(32),),
        )
        assert "s3cret" not in repr(settings)
        assert "s3cret" not in str(settings)
        assert "s3cret" not in str(settings.__rich_repr__())
        assert "redis://user:***@host/0?password=***" in repr(settings)
        assert repr(Settings()).startswith("Settings(driver='memory', url=None, ")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("signing_keys", "s3cret,"),
            ("encryption_keys", ["s3cret", 5]),
            ("redis_password", ["s3cret"]),
            ("url", "//user:s3cret@host/0"),
            ("url", ":s3cret@host"),
            ("database_url", "postgres:/u:s3cret@host/db"),
        ],
    )
    def test_messages_and_causes_mask_them(self, field: str, value: Any) -> None:
        with pytest.raises(ConfigError) as caught:
            Settings.from_env(**{field: value})
        assert "s3cret" not in str(caught.value)
        assert field in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


class TestDriverUrl:
    @pytest.mark.case("CFG-01")
    @pytest.mark.parametrize(
        ("driver", "url"),
        [
            ("memory", "memory://"),
            ("sync", "sync://"),
            ("database", "sqlite:///queue.db"),
            ("sqlite", "sqlite:///queue.db"),
            ("redis", "redis://localhost:6379/0"),
            ("Kafka", "kafka://"),
        ],
    )
    def test_each_driver(self, driver: str, url: str) -> None:
        assert Settings(driver=driver).driver_url() == url

    @pytest.mark.case("CFG-02")
    def test_redis_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for part, text in {
            "HOST": "cache",
            "PORT": "6380",
            "DB": "2",
            "PASSWORD": "p@ss/:w",
        }.items():
            monkeypatch.setenv(f"QUEUE_REDIS_{part}", text)
        settings = Settings.from_env(driver="redis")
        assert settings.driver_url() == "redis://:p%40ss%2F%3Aw@cache:6380/2"

    @pytest.mark.case("CFG-02")
    def test_redis_url_is_the_fallback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Our own variables first."""
        monkeypatch.setenv("REDIS_URL", "rediss://cache/1")
        assert Settings.from_env(driver="redis").driver_url() == "rediss://cache/1"
        assert Settings.from_env().driver_url() == "memory://"
        assert Settings.from_env(driver="redis", redis_db=3).driver_url().endswith("/3")
        assert Settings.from_env(driver="redis", url="redis://x/2").driver_url() == "redis://x/2"

    def test_database_url_is_the_fallback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "sqlite:///app.db")
        assert Settings.from_env(driver="database").driver_url() == "sqlite:///app.db"
        assert Settings.from_env(driver="sqlite").driver_url() == "sqlite:///app.db"
        assert Settings.from_env().driver_url() == "memory://"
        monkeypatch.setenv("QUEUE_DATABASE_URL", "sqlite:///ours.db")
        assert Settings.from_env(driver="sqlite").driver_url() == "sqlite:///ours.db"

    def test_a_fallback_of_another_kind_is_left_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://h/app")
        assert Settings.from_env(driver="sqlite").driver_url() == "sqlite:///queue.db"
        assert Settings.from_env(driver="postgres").driver_url() == "postgresql://h/app"
        monkeypatch.setenv("DATABASE_URL", "no url at all")
        assert Settings.from_env() == Settings()

    def test_a_database_of_another_kind_is_refused(self) -> None:
        settings = Settings(driver="sqlite", database_url="postgres://u:s3cret@h/db")
        with pytest.raises(ConfigError, match=r"QUEUE_DATABASE_URL is 'postgres://u:\*\*\*@h/db'"):
            settings.driver_url()
