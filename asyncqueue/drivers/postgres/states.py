"""How states are stored: as small numbers, which the partial indexes compare."""

from __future__ import annotations

from typing import Final

from asyncqueue.record import State

CODES: Final = {
    State.PENDING: 0,
    State.DELAYED: 1,
    State.PROCESSING: 2,
    State.COMPLETED: 3,
    State.CANCELLED: 4,
    State.FAILED: 5,
}
"""Nothing is stored as FAILED: such a row stands in the failed table."""
STATES: Final = {code: state for state, code in CODES.items()}

HELD: Final = 1
HELD_UNTIL_CLAIMED: Final = 2
"""What a key of uniqueness is while its job holds it; 0 where it is free."""
