"""Settings from code and from a file."""

from __future__ import annotations

from pathlib import Path

from asyncqueue import ConfigError, Queue, Settings

settings = Settings(url="sqlite:///queue.db", timeout=120, workers=20)
queue = Queue(settings=settings)
print(queue.settings.timeout)

# The page shows the same lines.
Path("queue.toml").write_text(
    """
[queue]
url = "sqlite:///${DATA_DIR:-.}/queue.db"
timeout = "2m"
retention = "1d"
""",
    "utf-8",
)
settings = Settings.from_file("queue.toml")  # the environment still wins over it
print(settings.url, settings.timeout, settings.retention)

try:
    Settings.from_env(timeout="half an hour")
except ConfigError as error:
    print(error)
