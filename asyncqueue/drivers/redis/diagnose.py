"""What a server says of itself: whether it is fit to hold jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.place import Place

Finding = tuple[str, bool, str]
OLDEST: Final = (6, 2)
_SNAPSHOTS: Final = (
    "snapshots at most: a crash of the server loses what came since the last; appendonly yes "
    "keeps jobs"
)


def read_info(text: Any) -> dict[str, str]:
    """The lines of INFO by name."""
    if not isinstance(text, bytes):
        return {}
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def version_of(info: dict[str, str]) -> tuple[int, int] | None:
    """The version of Redis that the server is compatible with; None where it does not say."""
    match = re.match(r"(\d+)\.(\d+)", info.get("redis_version", ""))
    return (int(match[1]), int(match[2])) if match else None


def check_version(info: dict[str, str], place: Place) -> None:
    """Raise DriverError where the server is too old."""
    version = version_of(info)
    if version is not None and version < OLDEST:
        raise DriverError(
            f"The server {place} is Redis {info['redis_version']}; asyncqueue needs 6.2 or newer, "
            "or Valkey."
        )


def eviction_of(info: dict[str, str]) -> str | None:
    """The eviction policy where it is one that loses jobs."""
    policy = info.get("maxmemory_policy", "noeviction")
    return None if policy == "noeviction" else policy


def findings(info: dict[str, str]) -> list[Finding]:
    """What `asyncqueue doctor` tells."""
    return [_server(info), _eviction(info), _memory(info), _persistence(info), _role(info)]


def _server(info: dict[str, str]) -> Finding:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    told = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    version = version_of(info)
    fine = version is None or version >= OLDEST
    return "server", fine, f"{name} {told}" + ("" if fine else "; 6.2 or newer is needed")


def _eviction(info: dict[str, str]) -> Finding:
    policy = eviction_of(info)
    if policy is None:
        return "eviction", True, "noeviction"
    return (
        "eviction",
        False,
        f"{policy}: jobs may vanish when memory is short; set maxmemory-policy noeviction",
    )


def _memory(info: dict[str, str]) -> Finding:
    used, limit = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    if not limit:
        return "memory", True, f"{_mib(used)} used, no maxmemory"
    fine = used < limit * 0.9
    text = f"{_mib(used)} of {_mib(limit)} used"
    return "memory", fine, text if fine else f"{text}; enqueueing is refused when it is full"


def _persistence(info: dict[str, str]) -> Finding:
    if info.get("aof_enabled") == "1":
        fine = info.get("aof_last_write_status", "ok") == "ok"
        return "persistence", fine, "append-only file" + ("" if fine else "; it cannot be written")
    if "aof_enabled" not in info:
        return "persistence", True, "unknown: the server does not tell"
    return "persistence", True, _SNAPSHOTS


def _role(info: dict[str, str]) -> Finding:
    role = info.get("role", "unknown")
    fine = role != "slave"
    return "role", fine, role if fine else "a replica; give the URL of its primary"


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
