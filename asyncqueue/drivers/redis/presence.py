"""The workers, as others see them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.record import Presence

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.shards import Shards

_SEEN: Final = struct.Struct(">d")
_decode: Final = msgspec.msgpack.Decoder(Presence).decode


async def announce(shards: Shards, worker: Presence, ttl: float) -> None:
    """Keep a worker visible for a while."""
    here = msgspec.msgpack.encode(msgspec.structs.replace(worker, running=[]))
    await shards.some(lambda shard: shard.run("announce", worker.id, repr(ttl), here))


async def retire(shards: Shards, worker: str) -> None:
    """Forget a worker."""
    await shards.every(lambda shard: shard.call("HDEL", f"{shard.tag}:workers", worker))


async def workers(shards: Shards) -> list[Presence]:
    """The workers that are present, with what they hold."""
    found: dict[str, Presence] = {}
    running: dict[str, list[str]] = {}
    for present, held in await shards.some(lambda shard: shard.run("workers")):
        for worker, id in zip(held[::2], held[1::2], strict=True):
            at = running.setdefault(worker.decode("utf-8", "replace"), [])
            at.append(id.decode("utf-8", "replace"))
        for text in present[1::2]:
            presence = _read(text)
            if presence is not None and (
                presence.id not in found or presence.last_seen > found[presence.id].last_seen
            ):
                found[presence.id] = presence
    for id, presence in found.items():
        presence.running = running.get(id, [])
    return list(found.values())


def _read(text: bytes) -> Presence | None:
    """A presence; None where another version has written it."""
    try:
        presence = _decode(text[_SEEN.size :])
    except msgspec.DecodeError:
        return None
    presence.last_seen = _SEEN.unpack_from(text)[0]
    return presence


async def called_off(shards: Shards, worker: str) -> list[str]:
    """This worker's claims whose cancellation was asked for."""
    told = await shards.some(lambda shard: shard.call("HVALS", f"{shard.tag}:called_off"))
    mine = worker.encode()
    return [
        id.decode("utf-8", "replace")
        for holder, id in (_split(text) for part in told for text in part)
        if holder == mine
    ]


def _split(text: bytes) -> tuple[bytes, bytes]:
    """The worker and the id of a called off job."""
    holder, _, id = text.partition(b"\0")
    return holder, id
