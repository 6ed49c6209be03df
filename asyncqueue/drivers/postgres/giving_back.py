"""Handing back what was claimed and never delivered: those attempts do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncqueue.drivers.postgres import permits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.postgres.session import Work
    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.drivers.postgres.wire import Row
    from asyncqueue.record import Claim


async def give_back(work: Work, claims: Sequence[Claim]) -> None:
    """Return claims that were never delivered: their attempt does not count."""
    left = [(claim.id, claim.token) for claim in claims]
    given = await work(lambda store: _give_back(store, left, limited=False))
    left = [claim for claim in left if claim[0] not in given]
    if left:
        await work(lambda store: _give_back(store, left, limited=True), atomic=True)


async def _give_back(store: Store, claims: Sequence[tuple[str, int]], *, limited: bool) -> set[str]:
    ids, tokens = zip(*sorted(claims), strict=True)
    known = await permits.of_jobs(store, ids) if limited else {}
    keys = await permits.locked(store, known.values())
    rows = await store.rows("claim.give_back", ids=ids, tokens=tokens, limited=limited)
    for id, _, limits in rows:
        keys.ended(id, permits.decoded(limits))
    await keys.write()
    store.ring_put_back({queue for _, queue, _ in rows})
    return {id for id, _, _ in rows}


async def give_back_handouts(work: Work, handouts: Sequence[int]) -> None:
    """Return whatever these calls claimed."""

    async def plain(store: Store) -> list[Row]:
        rows = await store.rows("claim.give_back_handouts", handouts=list(handouts))
        store.ring_put_back({row[0] for row in rows})
        return await store.rows("claim.limited_handouts", handouts=list(handouts))

    left = [(id, token) for id, token in await work(plain)]
    if left:
        await work(lambda store: _give_back(store, left, limited=True), atomic=True)
