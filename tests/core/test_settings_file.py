"""Settings from YAML and TOML files with placeholders."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncqueue.errors import ConfigError
from asyncqueue.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("clean_environment")


def refused(**explicit: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.from_env(**explicit)
    return str(caught.value)


def write(tmp_path: Path, name: str, text: str) -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


@pytest.mark.case("CFG-14")
def test_yaml_with_placeholders_and_durations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CACHE_URL", "redis://cache:6380/1")
    monkeypatch.setenv("REDIS_PASSWORD", "s3cret")
    file = write(
        tmp_path,
        "queue.yaml",
        "queue:\n"
        "  driver: redis\n  url: ${CACHE_URL}\n  redis_password: ${REDIS_PASSWORD}\n"
        "  redis_db: ${DB:-4}\n  retry_delay: 5s\n  timeout: 60s\n  poll_interval: 1s\n"
        "  workers: 5\n  default: ${APP:-shop}-jobs\n"
        "  signing_keys: ['${REDIS_PASSWORD}', old]\n",
    )
    got = msgspec.structs.asdict(Settings.from_file(file))
    assert got == msgspec.structs.asdict(Settings()) | {
        "driver": "redis",
        "url": "redis://cache:6380/1",
        "redis_password": "s3cret",
        "redis_db": 4,
        "retry_delay": 5.0,
        "timeout": 60.0,
        "poll_interval": 1.0,
        "workers": 5,
        "default": "shop-jobs",
        "signing_keys": ("s3cret", "old"),
    }


@pytest.mark.parametrize("text", ["workers = 5\n", "[queue]\nworkers = 5\n[other]\nx = 1\n"])
def test_toml_at_the_top_or_under_queue(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, "queue.toml", text)
    assert Settings.from_file(file) == Settings(workers=5)


def test_placeholders_are_filled_from_the_env_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("NAME=from_file\nOTHER=from_file\n")
    monkeypatch.setenv("OTHER", "from_environment")
    file = write(tmp_path, "q.toml", 'default = "${NAME}"\nprefix = "${OTHER}"\n')
    settings = Settings.from_file(file)
    assert (settings.default, settings.prefix) == ("from_file", "from_environment")


@pytest.mark.case("CFG-15")
def test_a_placeholder_without_value_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, "q.toml", 'url = "${NOT_SET_HERE}"\n')
    message = refused(file=file)
    assert "NOT_SET_HERE" in message
    assert "url" in message
    assert "q.toml" in message


def test_set_but_empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty variable is a value, but counts as absent where a default is given."""
    monkeypatch.setenv("EMPTY", "")
    file = write(tmp_path, "q.toml", 'default = "a${EMPTY}b"\nprefix = "${EMPTY:-p}"\n')
    settings = Settings.from_file(file)
    assert (settings.default, settings.prefix) == ("ab", "p")


def test_a_value_cannot_add_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NAME", "x\nworkers: 77")
    file = write(tmp_path, "q.yaml", "default: ${NAME}\n")
    assert Settings.from_file(file).workers == 10


@pytest.mark.parametrize("placeholder", ["${}", "${not a name}", "${A:-${B}}x", "${1A}"])
def test_a_malformed_placeholder_is_refused(tmp_path: Path, placeholder: str) -> None:
    file = write(tmp_path, "q.toml", f'default = "{placeholder}"\n')
    assert "default" in refused(file=file)


def test_unknown_names_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    file = write(tmp_path, "q.toml", "timout = 5\n")
    message = refused(file=file)
    assert '"timout"' in message
    assert "q.toml" in message
    assert 'Did you mean "timeout"?' in message


@pytest.mark.parametrize(("foreign", "ours"), [("connection", "url"), ("default_queue", "default")])
def test_names_of_other_systems_are_translated(tmp_path: Path, foreign: str, ours: str) -> None:
    """The page's names are pointed to ours."""
    file = write(tmp_path, "q.toml", f'{foreign} = "x"\n')
    assert f"called {ours}" in refused(file=file)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("q.toml", "timeout = = 5", "not TOML"),
        ("q.yaml", "timeout: [5", "not YAML"),
        ("q.yaml", "- timeout", "by name"),
        ("q.yaml", "!!python/object/apply:os.getcwd []", "not YAML"),
        ("q.ini", "timeout = 5", ".yaml"),
    ],
)
def test_files_that_cannot_be_understood(tmp_path: Path, name: str, text: str, part: str) -> None:
    message = refused(file=write(tmp_path, name, text))
    assert part in message
    assert name in message


def test_a_broken_file_is_reported_without_its_lines(tmp_path: Path) -> None:
    file = write(tmp_path, "q.yaml", "redis_password: s3cret: [\n")
    assert "s3cret" not in refused(file=file)


def test_a_missing_file_is_named() -> None:
    assert "nowhere.toml" in refused(file="nowhere.toml")


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert Settings.from_file(write(tmp_path, "q.yaml", "")) == Settings()


def test_yaml_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    message = refused(file=write(tmp_path, "q.yaml", "workers: 5"))
    assert "asyncqueue[yaml]" in message
