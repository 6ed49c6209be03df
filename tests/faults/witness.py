"""Notes what a driver answers to claims and settlements; whatever it is, it is passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncqueue import Driver

    from .journal import Journal


def witness(driver: Driver, journal: Journal) -> None:
    """From now on every claim and settlement of this handle is noted."""
    real: Any = driver
    claim, settle = real.claim, real.settle

    async def witnessed_claim(*given: Any, **named: Any) -> Any:
        claimed = await claim(*given, **named)
        for one in claimed.claims:
            journal.note("claimed", one.id, token=one.token, attempt=one.attempts)
        return claimed

    async def witnessed_settle(settlements: Any) -> Any:
        answers = await settle(settlements)
        for one, answer in zip(settlements, answers, strict=True):
            event = "settled" if answer else "stale"
            journal.note(event, one.id, token=one.token, state=one.state.value)
        return answers

    real.claim, real.settle = witnessed_claim, witnessed_settle
