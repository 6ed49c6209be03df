"""How claims end, as the scripts that settle them are told."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.drivers.redis.encoding import PHASES
from asyncqueue.drivers.redis.tokens import parts_of
from asyncqueue.record import State

if TYPE_CHECKING:
    from asyncqueue.record import Settlement

_SETTLEMENT: Final = struct.Struct(">cIIIdd")
Terms = tuple[State, int, int, int, float, float]
"""How a claim ends: state, claims, attempts, exceptions, delay and retention."""
_Outcome = tuple[bytes | None, str | None, str | None]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Outcome).decode


def packed_settlement(settlement: Settlement) -> tuple[str, int, bytes, bytes]:
    """A settlement as id, number, its counts and times, and the outcome."""
    number, claims = parts_of(settlement.token)
    told = packed_terms(
        settlement.state,
        claims,
        settlement.attempts,
        settlement.exceptions,
        settlement.delay,
        settlement.retention,
    )
    return settlement.id, number, told, packed_outcome(settlement) or b""


def packed_terms(
    state: State, claims: int, attempts: int, exceptions: int, delay: float, retention: float
) -> bytes:
    """How a claim ends, without its outcome."""
    return _SETTLEMENT.pack(PHASES[state].encode(), claims, attempts, exceptions, delay, retention)


def packed_outcome(settlement: Settlement) -> bytes | None:
    """What a settlement tells of how its job ended; None where that is nothing."""
    if settlement.result is None and settlement.error is None and settlement.traceback is None:
        return None
    return _encode((settlement.result, settlement.error, settlement.traceback))


def read_outcome(text: bytes | None) -> _Outcome:
    """Result, error and traceback from what :func:`packed_outcome` made.

    Raises ``msgspec.DecodeError`` where it did not.
    """
    return (None, None, None) if text is None else _decode(text)
