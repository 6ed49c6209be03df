"""How states are stored: as small numbers, which the partial indexes compare."""

from __future__ import annotations

from typing import Final

from asyncqueue.record import State

READY: Final = 0
DELAYED: Final = 1
PROCESSING: Final = 2
COMPLETED: Final = 3
CANCELLED: Final = 4
FAILED: Final = 5
"""Only for a moment inside a transaction: then the row is in the failed table."""

CODES: Final = {
    State.PENDING: READY,
    State.DELAYED: DELAYED,
    State.PROCESSING: PROCESSING,
    State.COMPLETED: COMPLETED,
    State.CANCELLED: CANCELLED,
    State.FAILED: FAILED,
}
STATES: Final = {code: state for state, code in CODES.items()}

FREE: Final = 0
HELD: Final = 1
HELD_UNTIL_CLAIMED: Final = 2
"""What a key of uniqueness is: free for others, or held by its job."""
