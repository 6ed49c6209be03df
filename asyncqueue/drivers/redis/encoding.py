"""How jobs are written down: what `common.lua` calls a body and a state, as clients see them."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from asyncqueue.drivers.redis.place import MOST_SHARDS
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Claim, Limited, On, State, StoredJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.record import Record, Settlement

LONGEST: Final = 0xFFFF
"""Bytes that an id, a queue's name or a key may have."""
CLAIM_BITS: Final = 20
"""A token is the number of a job, its shard and, in these bits, how often it was claimed."""
SHARD_BITS: Final = 8
MOST_CLAIMS: Final = (1 << CLAIM_BITS) - 1
"""After so many the count begins anew: no worker is a million claims behind."""
NO_NUMBER: Final = 10**12
"""All numbers are above this one, so that they have as many digits."""
PHASES: Final = {
    State.PENDING: "w",
    State.DELAYED: "d",
    State.PROCESSING: "p",
    State.COMPLETED: "c",
    State.CANCELLED: "x",
    State.FAILED: "f",
}
"""The letters of the states. A job that waits has phase w whether it is due or not."""
STATES: Final = {letter: state for state, letter in PHASES.items()}
_ENDS: Final = PHASES.keys() - {State.PROCESSING}

WANTING: Final = 8
"""Added to the mode of a job that has limits, or a fair key."""
TIED: Final = 4
"""Added to the mode of a job that a latch binds."""
_HEAD: Final = struct.Struct(">ddBhHHH")
_HEAD_SIZE: Final = _HEAD.size
_TIMES: Final = struct.calcsize(">dd")
"""Bytes of the head that the scripts write, who know the time."""
_LENGTH: Final = struct.Struct(">H")
_STATE: Final = struct.Struct(">cIIIhdddd")
_SETTLEMENT: Final = struct.Struct(">cIIIdd")
_SECONDS: Final = struct.Struct(">d")

Terms = tuple[State, int, int, int, float, float]
"""How a claim ends: state, claims, attempts, exceptions, delay and retention."""
_Content = tuple[str, int | None, bytes]
_TERMS: Final = struct.Struct(">Id")
_TIE: Final = struct.Struct(">ccd")
ON: Final = {b"s": On.SUCCESS, b"f": On.FAILURE, b"e": On.END}
DAMAGED: Final = b"!"
"""What `claim.lua` tells instead of a state that it could not read."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_content: Final = msgspec.msgpack.Decoder(_Content).decode
_Outcome = tuple[bytes | None, str | None, str | None]
_decode_outcome: Final = msgspec.msgpack.Decoder(_Outcome).decode


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
        payload = _bytes(record)
    if not MIN_PRIORITY <= record.priority <= MAX_PRIORITY:
        raise ValueError(
            f"The priority of job {record.id!r} is {record.priority}; "
            f"give {MIN_PRIORITY} to {MAX_PRIORITY}."
        )
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


def _bytes(record: Record) -> bytes:
    if isinstance(record.payload, (bytearray, memoryview)):
        return bytes(record.payload)
    raise TypeError(
        f"The payload of job {record.id!r} is a {type(record.payload).__name__}; give bytes."
    )


def wants_something(record: Record) -> bool:
    """Whether it has limits, or a fair key."""
    return bool(record.limits) or record.fair is not None


def packed_wants(record: Record) -> bytes:
    """The limits and the fair key of a record, as `wants.lua` reads them; empty for neither."""
    if not wants_something(record):
        return b""
    fair = (record.fair or "").encode()
    words = [_LENGTH.pack(len(fair)), fair, bytes([len(record.limits)])]
    for limit in record.limits:
        key = limit.key.encode()
        per = -1.0 if limit.per is None else limit.per
        words += [_LENGTH.pack(len(key)), key, _TERMS.pack(limit.most, per)]
    return b"".join(words)


def read_wants(text: bytes) -> tuple[tuple[Limited, ...], str | None]:
    """Limits and fair key from what :func:`packed_wants` made."""
    fair, at = _short(text, 0)
    limits: list[Limited] = []
    count = text[at]
    at += 1
    for _ in range(count):
        key, at = _short(text, at)
        most, per = _TERMS.unpack_from(text, at)
        at += _TERMS.size
        limits.append(Limited(key, most, None if per < 0 else per))
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
        fields = _STATE.unpack_from(text)
        _, at = _short(text, _STATE.size)
        worker, _ = _short(text, at)
    except (struct.error, UnicodeError) as error:
        raise UnreadableError(f"a state that cannot be read: {error}") from error
    phase, _, attempts, exceptions, _, available, started, finished, mark = fields
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
    (length,) = _LENGTH.unpack_from(text, at)
    return _text(text, at + _LENGTH.size, length)


def _text(text: bytes, at: int, length: int) -> tuple[str, int]:
    end = at + length
    if end > len(text):
        raise struct.error("it is cut off")
    return text[at:end].decode(), end


def parts_of(token: int) -> tuple[int, int]:
    """The number and the count of claims of a token; of no job where it is none of ours."""
    return NO_NUMBER + (token >> CLAIM_BITS + SHARD_BITS), token & MOST_CLAIMS


def shard_of(token: int) -> int:
    """The shard of the job of a token."""
    return token >> CLAIM_BITS & MOST_SHARDS - 1


def claim_of(number: bytes, body_text: bytes, state_text: bytes | None, shard: int = 0) -> Claim:
    """A job that was just claimed, from its number, its body and the state it had before.

    Raises :class:`UnreadableError`.
    """
    body = read_body(body_text)
    claims = attempts = 1
    exceptions = 0
    latch, called_off = None, False
    if state_text is not None:
        latch, called_off, state_text = _untied(state_text)
    if state_text is not None:
        if state_text == DAMAGED:
            raise UnreadableError("a state that cannot be read")
        before = _STATE.unpack_from(state_text)
        claims, attempts, exceptions = before[1] + 1, before[2] + 1, before[3]
    return Claim(
        body.id,
        # Numbers are given once, so this token fits no later job of the same id.
        (int(number) - NO_NUMBER << SHARD_BITS | shard) << CLAIM_BITS | claims & MOST_CLAIMS,
        body.queue,
        body.name,
        body.payload,
        body.priority,
        attempts,
        exceptions,
        body.max_attempts,
        body.created_at,
        latch,
        called_off,
    )


def _untied(state_text: bytes) -> tuple[str | None, bool, bytes | None]:
    """The latch of a claimed job, whether it is called off, and what stands behind these."""
    if not state_text.startswith(b"+"):
        return None, False, state_text
    (length,) = _LENGTH.unpack_from(state_text, 2)
    end = 2 + _LENGTH.size + length
    return (
        state_text[2 + _LENGTH.size : end].decode(),
        state_text[1:2] == b"1",
        state_text[end:] or None,
    )


def check_ends(settlements: Iterable[Settlement]) -> None:
    """Raise ValueError for a state that a claim cannot end in."""
    for state in {one.state for one in settlements}:
        if state not in _ENDS:
            raise ValueError(f"A claim cannot be settled as {state!r}.")


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


def stored_job(row: Sequence[bytes | None], now: float) -> StoredJob | None:
    """A job from a row that a script found; None where it cannot be read or its time is over."""
    _, body_text, state_text, outcome_text, progress, message, *more = row
    tie, history, lease_end, wants = more
    try:
        body = read_body(body_text or b"")
        standing = None if state_text is None else read_standing(state_text)
        outcome = (None, None, None) if outcome_text is None else _decode_outcome(outcome_text)
    except (UnreadableError, msgspec.DecodeError):
        return None
    job = StoredJob(
        id=body.id,
        queue=body.queue,
        name=body.name,
        payload=body.payload,
        state=State.PENDING,
        priority=body.priority,
        attempts=0,
        max_attempts=body.max_attempts,
        created_at=body.created_at,
        available_at=body.available_at,
        progress=None if progress is None else float(progress),
        message=None if message is None else message.decode(),
        result=outcome[0],
        error=outcome[1],
        traceback=outcome[2],
        key=body.key,
        history=history,
        lease_left=None if lease_end is None else float(lease_end) / 1000 - now,
    )
    if wants is not None:
        job.limits, job.fair = read_wants(wants)
    if tie is not None:
        job.latch = tie[_TIE.size :].decode()
        job.held = ON.get(tie[1:2])
        if job.held is not None:
            job.available_at += _TIE.unpack_from(tie)[2]
    if standing is not None:
        if standing.phase in "cx" and standing.mark <= now:
            return None
        _stand(job, standing)
    if job.state is State.PENDING and (job.available_at > now or job.held is not None):
        job.state = State.DELAYED
    return job


def _stand(job: StoredJob, standing: Standing) -> None:
    job.state = STATES[standing.phase]
    job.attempts = standing.attempts
    job.started_at = standing.started_at
    job.finished_at = standing.finished_at
    job.worker = standing.worker
    if standing.available_at is not None:
        job.available_at = standing.available_at
    if job.state is State.COMPLETED:
        job.progress = 100.0
