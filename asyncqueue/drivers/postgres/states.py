"""How states are stored: as small numbers, which the partial indexes compare."""

from __future__ import annotations

from typing import Final

from asyncqueue.record import On, State

CODES: Final = {
    State.PENDING: 0,
    State.DELAYED: 1,
    State.PROCESSING: 2,
    State.COMPLETED: 3,
    State.CANCELLED: 4,
    State.FAILED: 5,
}
"""Nothing is stored as FAILED: such a row stands in the failed table."""
HELD_BACK: Final = -1
"""By a latch; outside it is told as delayed."""
RESTRICTED: Final = -2
"""Ready, with limits or a fair key: claimed with a look at permits and turns."""
SET_ASIDE: Final = -3
"""Until there is a permit."""
STATES: Final = {code: state for state, code in CODES.items()} | {
    HELD_BACK: State.DELAYED,
    RESTRICTED: State.PENDING,
    SET_ASIDE: State.PENDING,
}

HELD: Final = 1
HELD_UNTIL_CLAIMED: Final = 2
"""What a key of uniqueness is while its job holds it; 0 where it is free."""

MEMBER: Final = 1
EXEMPT: Final = 2
"""A member that was requeued: nobody calls it off."""
GUARD: Final = 3
"""What a job is to its latch; None where it is nothing but held back."""

REASONS: Final = {On.SUCCESS: 1, On.FAILURE: 2, On.END: 3}
ONS: Final = {code: on for on, code in REASONS.items()}
"""What it is held back for."""
