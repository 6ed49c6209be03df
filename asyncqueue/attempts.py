"""What is kept of each attempt of a job that was not its last."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

MOST_KEPT: Final = 100
"""Attempts of one job that are told; of later ones only the last is."""
MAX_TRACEBACK: Final = 4_000
"""Characters kept of the traceback of an attempt that was not the last."""
_LENGTH: Final = struct.Struct(">I")
_encode: Final = msgspec.msgpack.Encoder().encode


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run: ``started_at`` in seconds since the epoch, ``duration`` in seconds.

    ``number`` is 1 for the first. ``state`` is what it led to: ``delayed`` where the job runs
    again. ``worker`` is the id of the one that ran it, ``error`` is ``Type: text``.
    """

    number: int
    started_at: float
    duration: float
    worker: str | None = None
    state: str = "delayed"
    error: str | None = None
    traceback: str | None = None


_decode: Final = msgspec.msgpack.Decoder(Attempt).decode


def packed(attempt: Attempt) -> bytes:
    """An attempt, to be put behind earlier ones."""
    text = _encode(attempt)
    return _LENGTH.pack(len(text)) + text


def unpacked(history: bytes | None) -> list[Attempt]:
    """All attempts of a history, those that can be read."""
    found: list[Attempt] = []
    at = 0
    history = history or b""
    while at + _LENGTH.size <= len(history):
        (length,) = _LENGTH.unpack_from(history, at)
        at += _LENGTH.size
        try:
            found.append(_decode(history[at : at + length]))
        except msgspec.MsgspecError:
            break
        at += length
    return found
