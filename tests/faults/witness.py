"""Notes what a driver answers to claims and settlements; whatever it is, it is passed on."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncqueue import Driver

    from .journal import Journal

LATE: Final = 20
"""Groups of settlements that come between one and its last repetition."""


def witness(driver: Driver, journal: Journal, *, replay: bool = False) -> None:
    """From now on every claim and settlement of this handle is noted.

    With ``replay`` each group of settlements comes once more at once, and once more much later.
    """
    real: Any = driver
    claim, claim_next, settle = real.claim, real.claim_next, real.settle
    former: deque[Any] = deque()

    def noted(claimed: Any) -> Any:
        for one in claimed.claims if claimed is not None else ():
            journal.note("claimed", one.id, token=one.token, attempt=one.attempts)
        return claimed

    async def witnessed_claim(*given: Any, **named: Any) -> Any:
        return noted(await claim(*given, **named))

    async def witnessed_claim_next(*given: Any, **named: Any) -> Any:
        return noted(await claim_next(*given, **named))

    async def witnessed_settle(settlements: Any) -> Any:
        answers = await settle(settlements)
        for one, answer in zip(settlements, answers, strict=True):
            event = "settled" if answer else "stale"
            journal.note(event, one.id, token=one.token, state=one.state.value)
        return answers

    async def settle_repeatedly(settlements: Any) -> Any:
        answers = await witnessed_settle(settlements)
        former.append(settlements)
        await witnessed_settle(settlements)
        if len(former) > LATE:
            await witnessed_settle(former.popleft())
        return answers

    real.claim, real.claim_next = witnessed_claim, witnessed_claim_next
    real.settle = settle_repeatedly if replay else witnessed_settle
