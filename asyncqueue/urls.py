"""The URLs that name a store: which driver they mean, and how to show them without secrets."""

from __future__ import annotations

import re
from typing import Final

_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_USERINFO: Final = re.compile(r"(://[^:/?#@]*:).*@", re.DOTALL)
_SECRET_OPTION: Final = re.compile(
    r"([?&](?:\w*password|passwd|pwd|secret|token|key)=)[^&#]*", re.IGNORECASE
)
_SPELLINGS: Final = {
    "postgresql": "postgres",
    "rediss": "redis",
    "redis+sentinel": "redis",
    "redis+cluster": "redis",
    "valkey": "redis",
}


def scheme_of(url: str) -> str | None:
    """What stands before ``://``, in lower case; None when this is no URL."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else None


def driver_name(scheme: str) -> str:
    """The driver that a scheme or a name means: ``PostgreSQL+asyncpg`` is ``postgres``."""
    name = scheme.strip().lower()
    stem = name.partition("+")[0]
    return _SPELLINGS.get(name) or _SPELLINGS.get(stem) or (stem if stem == "sqlite" else name)


def masked(url: str) -> str:
    """The URL with its passwords replaced by ``***``; for messages."""
    if scheme_of(url) is None:
        # Not a URL after all: what stands before an @ is most likely a password.
        return re.sub(r".*@", "***@", url, flags=re.DOTALL)
    return _SECRET_OPTION.sub(r"\1***", _USERINFO.sub(r"\1***@", url))
