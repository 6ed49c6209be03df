"""How states are stored: as small numbers, which the partial indexes compare."""

from __future__ import annotations

from typing import Final

from asyncqueue.record import On, State

HELD_BACK: Final = -1
"""By its latch; outside it is told as delayed."""
ASIDE: Final = -2
"""Due, and set aside until there is a permit; outside it is told as pending."""
FAIR: Final = -3
"""Has a fair key and waits, due or not; a claim that finds it due lets it take turns."""
IN_TURN: Final = -4
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
STATES: Final = {code: state for state, code in CODES.items()} | {HELD_BACK: State.DELAYED}
WAITING: Final = (HELD_BACK, ASIDE, FAIR, IN_TURN, READY, DELAYED)

FREE: Final = 0
HELD: Final = 1
HELD_UNTIL_CLAIMED: Final = 2
"""What a key of uniqueness is: free for others, or held by its job."""

MEMBER: Final = 1
EXEMPT: Final = 2
"""A member that was requeued: nobody calls it off."""
GUARD: Final = 3
"""One that was let go of. What a job is to its latch; none of these when it was and guards not."""

HELD_PARTS: Final = {
    (On.SUCCESS, False): 4,
    (On.SUCCESS, True): 5,
    (On.FAILURE, False): 6,
    (On.FAILURE, True): 7,
    (On.END, False): 8,
    (On.END, True): 9,
}
"""What those are that are held back, and whether they guard."""
HELD_BY: Final = {code: on for (on, _), code in HELD_PARTS.items()}
GUARDS: Final = {GUARD} | {code for (_, guards), code in HELD_PARTS.items() if guards}
