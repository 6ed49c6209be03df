"""Tokens of claims: whose they are, and which claim of it."""

from __future__ import annotations

from typing import Final

from asyncqueue.drivers.redis.place import MOST_SHARDS

CLAIM_BITS: Final = 20
"""A token is the number of a job, its shard and, in these bits, how often it was claimed."""
SHARD_BITS: Final = 8
MOST_CLAIMS: Final = (1 << CLAIM_BITS) - 1
"""After so many the count begins anew: no worker is a million claims behind."""
NO_NUMBER: Final = 10**12
"""All numbers are above this one, so that they have as many digits."""


def parts_of(token: int) -> tuple[int, int]:
    """The number and the count of claims of a token; of no job where it is none of ours."""
    return NO_NUMBER + (token >> CLAIM_BITS + SHARD_BITS), token & MOST_CLAIMS


def shard_of(token: int) -> int:
    """The shard of the job of a token."""
    return token >> CLAIM_BITS & MOST_SHARDS - 1
