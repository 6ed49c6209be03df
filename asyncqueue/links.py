"""What is still to come after a job: the links of a chain, as they travel with its envelope."""

from __future__ import annotations

import msgspec

from asyncqueue.record import Latch, Record


class BatchLink(msgspec.Struct):
    """A batch that is ready to be stored: its latch, its members and its callbacks."""

    latch: Latch
    records: list[Record]


class Link(msgspec.Struct, omit_defaults=True):
    """One step of a chain: a job, or a batch."""

    job: Record | None = None
    batch: BatchLink | None = None


class Rest(msgspec.Struct, omit_defaults=True):
    """The links after a job, and the record of what is to run if one of them fails for good.

    ``queue`` is that of links that are still to be made, by jobs that put more into the chain.
    """

    links: list[Link] = []
    catch: Record | None = None
    queue: str | None = None

    def __bool__(self) -> bool:
        return bool(self.links) or self.catch is not None


class Cause(msgspec.Struct, omit_defaults=True):
    """The failed job that the job of a ``catch`` follows, and what its error said."""

    job_id: str
    error: str
