"""How jobs are written down: what `common.lua` calls a body and a state, as clients see them."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncqueue.drivers.storable import out_of_range, payload_of
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Limited, On, State

if TYPE_CHECKING:
    from asyncqueue.record import Record

LONGEST: Final = 0xFFFF
"""Bytes that an id, a queue's name or a key may have."""
PHASES: Final = {
    State.PENDING: "w",
    State.DELAYED: "d",
    State.PROCESSING: "p",
    State.COMPLETED: "c",
    State.CANCELLED: "x",
    State.FAILED: "f",
}
"""The letters of the states. A job that waits has phase w whether it is due or not."""
_LETTERS: Final = {letter.encode() for letter in PHASES.values()}
STATES: Final = {letter: state for state, letter in PHASES.items()}
WANTING: Final = 8
"""Added to the mode of a job that has limits, or a fair key."""
TIED: Final = 4
"""Added to the mode of a job that a latch binds."""
_HEAD: Final = struct.Struct(">ddBhHHH")
_HEAD_SIZE: Final = _HEAD.size
_TIMES: Final = struct.calcsize(">dd")
"""Bytes of the head that the scripts write, who know the time."""
LENGTH: Final = struct.Struct(">H")
_COUNT: Final = struct.Struct(">B")
STANDING: Final = struct.Struct(">cIIIhdddd")
_SECONDS: Final = struct.Struct(">d")
_TERMS: Final = struct.Struct(">Id")
_Content = tuple[str, int | None, bytes]
ON: Final = {b"s": On.SUCCESS, b"f": On.FAILURE, b"e": On.END}
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_content: Final = msgspec.msgpack.Decoder(_Content).decode


class UnreadableError(ValueError):
    """Stored bytes are not what this version of the driver writes."""


class Body(msgspec.Struct, gc=False):
    """What never changes of a job."""

    created_at: float
    available_at: float
    priority: int
    id: str
    queue: str
    key: str | None
    name: str
    max_attempts: int | None
    payload: bytes


class Standing(NamedTuple):
    """What changes of a job."""

    phase: str
    attempts: int
    exceptions: int
    available_at: float | None
    started_at: float | None
    finished_at: float | None
    mark: float
    worker: str | None


def packed(record: Record) -> tuple[bytes, bytes, bytes]:
    """A record as id, key with its time, and the body after its times.

    Raises TypeError or ValueError for what must not be stored.
    """
    payload = record.payload
    if type(payload) is not bytes:
        payload = payload_of(record)
    if not MIN_PRIORITY <= record.priority <= MAX_PRIORITY:
        raise out_of_range(record)
    id, queue, key = record.id.encode(), record.queue.encode(), b""
    mode, held = 0, b""
    if record.key is not None:
        key = record.key.encode()
        mode = 2 if record.key_until_claimed else 1
        held = _SECONDS.pack(math.inf if record.key_ttl is None else record.key_ttl) + key
    if record.latch is not None:
        mode += TIED
    if wants_something(record):
        mode += WANTING
    if max(len(id), len(queue), len(key)) > LONGEST:
        raise ValueError(f"Id, queue or key of job {record.id[:50]!r}… is over {LONGEST} bytes.")
    content = _encode((record.name, record.max_attempts, payload))
    head = _HEAD.pack(0.0, 0.0, mode, record.priority, len(id), len(queue), len(key))
    body = b"".join((head[_TIMES:], id, queue, key, content))
    return id, held, body


def wants_something(record: Record) -> bool:
    """Whether it has limits, or a fair key."""
    return bool(record.limits) or record.fair is not None


def packed_wants(record: Record) -> bytes:
    """The limits and the fair key of a record, as `wants.lua` reads them; empty for neither."""
    if not wants_something(record):
        return b""
    fair = (record.fair or "").encode()
    words = [LENGTH.pack(len(fair)), fair, bytes([len(record.limits)])]
    for limit in record.limits:
        key = limit.key.encode()
        per = -1.0 if limit.per is None else limit.per
        words += [LENGTH.pack(len(key)), key, _TERMS.pack(limit.most, per)]
    return b"".join(words)


def read_wants(text: bytes) -> tuple[tuple[Limited, ...], str | None]:
    """Limits and fair key from what :func:`packed_wants` made. Raises :class:`UnreadableError`."""
    limits: list[Limited] = []
    try:
        fair, at = _short(text, 0)
        (count,) = _COUNT.unpack_from(text, at)
        at += _COUNT.size
        for _ in range(count):
            key, at = _short(text, at)
            most, per = _TERMS.unpack_from(text, at)
            at += _TERMS.size
            limits.append(Limited(key, most, None if per < 0 else per))
    except (struct.error, UnicodeError) as error:
        raise UnreadableError(f"limits that cannot be read: {error}") from error
    return tuple(limits), fair or None


def read_body(text: bytes) -> Body:
    """The body of a job. Raises :class:`UnreadableError`."""
    try:
        head = _HEAD.unpack_from(text)
        created_at, available_at, mode, priority, of_id, of_queue, of_key = head
        after_id = _HEAD_SIZE + of_id
        after_queue = after_id + of_queue
        after_key = after_queue + of_key
        id, queue = text[_HEAD_SIZE:after_id].decode(), text[after_id:after_queue].decode()
        key = text[after_queue:after_key].decode() if mode % TIED else None
        # Where lengths are wrong, this is no content either.
        name, max_attempts, payload = _decode_content(text[after_key:])
    except (struct.error, UnicodeError, msgspec.DecodeError) as error:
        raise UnreadableError(f"a body that cannot be read: {error}") from error
    return Body(
        created_at,
        available_at,
        priority,
        id,
        queue,
        key,
        name,
        max_attempts,
        payload,
    )


def read_standing(text: bytes) -> Standing:
    """The state of a job. Raises :class:`UnreadableError`."""
    try:
        fields = STANDING.unpack_from(text)
        _, at = _short(text, STANDING.size)
        worker, _ = _short(text, at)
    except (struct.error, UnicodeError) as error:
        raise UnreadableError(f"a state that cannot be read: {error}") from error
    phase, _, attempts, exceptions, _, available, started, finished, mark = fields
    if phase not in _LETTERS:
        raise UnreadableError(f"a state that cannot be read: there is no phase {phase!r}")
    return Standing(
        phase.decode("latin-1"),
        attempts,
        exceptions,
        available if available >= 0 else None,
        started if started >= 0 else None,
        finished or None,
        mark,
        worker or None,
    )


def _short(text: bytes, at: int) -> tuple[str, int]:
    (length,) = LENGTH.unpack_from(text, at)
    return _text(text, at + LENGTH.size, length)


def _text(text: bytes, at: int, length: int) -> tuple[str, int]:
    end = at + length
    if end > len(text):
        raise struct.error("it is cut off")
    return text[at:end].decode(), end
