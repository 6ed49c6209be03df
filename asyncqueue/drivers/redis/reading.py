"""Jobs as the scripts tell of them: those just claimed, and those that were looked for."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.drivers.redis.encoding import (
    LENGTH,
    ON,
    STANDING,
    STATES,
    UnreadableError,
    read_body,
    read_standing,
    read_wants,
)
from asyncqueue.drivers.redis.endings import read_outcome
from asyncqueue.drivers.redis.tokens import CLAIM_BITS, MOST_CLAIMS, NO_NUMBER, SHARD_BITS
from asyncqueue.record import Claim, State, StoredJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.redis.encoding import Standing

_TIE: Final = struct.Struct(">ccd")
DAMAGED: Final = b"!"
"""What `claim.lua` tells instead of a state that it could not read."""
UNREAD: Final = b"?"
"""What it tells before a state where it cannot be read what the job wants."""


def claim_of(number: bytes, body_text: bytes, state_text: bytes | None, shard: int = 0) -> Claim:
    """A job that was just claimed, from its number, its body and the state it had before.

    Raises :class:`UnreadableError`.
    """
    try:
        return _claim_of(number, body_text, state_text, shard)
    except UnreadableError:
        raise
    except (struct.error, ValueError) as error:
        raise UnreadableError(f"a number or a tie that cannot be read: {error}") from error


def _claim_of(number: bytes, body_text: bytes, state_text: bytes | None, shard: int) -> Claim:
    body = read_body(body_text)
    claims = attempts = 1
    exceptions = 0
    latch, called_off = None, False
    if state_text is not None:
        latch, called_off, state_text = _untied(state_text.removeprefix(UNREAD))
    if state_text is not None:
        if state_text == DAMAGED:
            raise UnreadableError("a state that cannot be read")
        before = STANDING.unpack_from(state_text)
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
        return None, False, state_text or None
    (length,) = LENGTH.unpack_from(state_text, 2)
    end = 2 + LENGTH.size + length
    return (
        state_text[2 + LENGTH.size : end].decode(),
        state_text[1:2] == b"1",
        state_text[end:] or None,
    )


def stored_job(row: Sequence[bytes | None], now: float) -> StoredJob | None:
    """A job from a row that a script found; None where it cannot be read or its time is over."""
    _, body_text, state_text, outcome_text, progress, message, *more = row
    tie, history, lease_end, wants = more
    try:
        body = read_body(body_text or b"")
        standing = None if state_text is None else read_standing(state_text)
        outcome = read_outcome(outcome_text)
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
        progress=_progress(progress),
        message=None if message is None else message.decode("utf-8", "replace"),
        result=outcome[0],
        error=outcome[1],
        traceback=outcome[2],
        key=body.key,
        history=history,
        lease_left=None if lease_end is None else float(lease_end) / 1000 - now,
    )
    if wants is not None:
        # As `wants.lua`: what cannot be read is nothing.
        with contextlib.suppress(UnreadableError):
            job.limits, job.fair = read_wants(wants)
    if tie is not None and len(tie) >= _TIE.size:
        job.latch = tie[_TIE.size :].decode("utf-8", "replace")
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


def _progress(text: bytes | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


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
