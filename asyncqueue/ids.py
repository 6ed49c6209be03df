"""Job ids: UUID version 7, in order of creation within a process."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

POOL: Final = 7680
"""Random bytes that are fetched at once."""
_DIGITS: Final = 15
"""Random digits of one id. The one before them says which kind of UUID it is."""
_COUNTS: Final = [f"{count:03x}-8" for count in range(1 << 12)]
_lock = threading.Lock()
_last = 0
_millisecond = -1
_prefix = ""
_pool = ""
_used = 0


def _drop_pool() -> None:
    global _pool  # noqa: PLW0603 - as below
    _pool = ""


os.register_at_fork(after_in_child=_drop_pool)


def new_id() -> str:
    """A new id; later ones of the same process sort after it."""
    global _last, _millisecond, _prefix, _pool, _used  # noqa: PLW0603 - one sequence per process
    with _lock:
        # 48 bits of milliseconds, then a 12 bit count that keeps ids of one millisecond apart.
        now = int(time.time() * 1000) << 12
        _last = moment = now if now > _last else _last + 1
        if moment >> 12 != _millisecond:
            _millisecond = moment >> 12
            _prefix = f"{_millisecond >> 16:08x}-{_millisecond & 0xFFFF:04x}-7"
        start = _used
        if start + _DIGITS > len(_pool):
            _pool, start = os.urandom(POOL).hex(), 0
        _used = end = start + _DIGITS
        # Pieces of text, because numbers of 62 bits are slow to format.
        random = f"{_pool[start : start + 3]}-{_pool[start + 3 : end]}"
        return f"{_prefix}{_COUNTS[moment & 0xFFF]}{random}"
