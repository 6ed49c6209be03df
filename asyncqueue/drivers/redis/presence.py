"""The workers, as others see them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.record import Presence

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.scripts import Scripts

_SEEN: Final = struct.Struct(">d")
_decode: Final = msgspec.msgpack.Decoder(Presence).decode


async def announce(scripts: Scripts, worker: Presence, ttl: float) -> None:
    """Keep a worker visible for a while."""
    here = msgspec.structs.replace(worker, running=[])
    await scripts.run("announce", worker.id, repr(ttl), msgspec.msgpack.encode(here))


async def retire(scripts: Scripts, worker: str) -> None:
    """Forget a worker."""
    await scripts.link.call("HDEL", f"{scripts.tag}:workers", worker)


async def workers(scripts: Scripts) -> list[Presence]:
    """The workers that are present, with what they hold."""
    present, held = await scripts.run("workers")
    running: dict[bytes, list[str]] = {}
    for worker, id in zip(held[::2], held[1::2], strict=True):
        running.setdefault(worker, []).append(id.decode())
    found: list[Presence] = []
    for name, text in zip(present[::2], present[1::2], strict=True):
        try:
            presence = _decode(text[_SEEN.size :])
        except msgspec.DecodeError:  # Written by another version.
            continue
        presence.last_seen = _SEEN.unpack_from(text)[0]
        presence.running = running.get(name, [])
        found.append(presence)
    return found


async def called_off(scripts: Scripts, worker: str) -> list[str]:
    """This worker's claims whose cancellation was asked for."""
    told = await scripts.link.call("HVALS", f"{scripts.tag}:called_off")
    mine = worker.encode()
    return [
        id.decode("utf-8", "replace")
        for holder, id in (_split(text) for text in told)
        if holder == mine
    ]


def _split(text: bytes) -> tuple[bytes, bytes]:
    """The worker and the id of a called off job."""
    holder, _, id = text.partition(b"\0")
    return holder, id
