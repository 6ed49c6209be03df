"""Several Redis servers that belong together: a cluster, and sentinels that watch two of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from .process import PATIENCE, ServerError, free_port
from .redis import RedisServer, ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Group = TypeVar("Group", "RedisCluster", "WatchedRedis")
SLOTS: Final = 16384
BUS: Final = 10_000
"""Nodes of a cluster use the port so many above theirs, too."""


def until(true: Callable[[], bool], what: str) -> None:
    """Return when something is so."""
    patient_until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > patient_until:
            raise ServerError(f"It never came to this: {what}.")
        time.sleep(0.01)


def start_group(kind: type[Group], folder: Path) -> Group:
    """Start one. A port may be taken by another process in between: then others."""
    for attempt in range(3):
        group = kind(folder / f"attempt{attempt}")
        try:
            group.start()
        except BaseException as error:
            group.kill()
            if attempt == 2 or not isinstance(error, ServerError):
                raise
        else:
            return group
    raise AssertionError


class RedisCluster:
    """Three primaries that share the slots, each with a replica."""

    def __init__(self, folder: Path) -> None:
        self.primaries = [_node(folder / f"primary{n}") for n in range(3)]
        self.replicas = [_node(folder / f"replica{n}") for n in range(3)]

    @property
    def nodes(self) -> list[RedisServer]:
        """All servers."""
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """Its URL; the nodes are its primaries at the start."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)
        return f"redis+cluster://{hosts}"

    def start(self) -> None:
        """Start it; it serves all slots when this returns."""
        for server in self.nodes:
            server.start()
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, server in enumerate(self.primaries):
            slots = " ".join(map(str, range(bounds[n], bounds[n + 1])))
            _do(server, f"CLUSTER ADDSLOTS {slots}")
            _do(server, f"CLUSTER SET-CONFIG-EPOCH {n + 1}")
        for server in self.nodes[1:]:
            _do(server, f"CLUSTER MEET 127.0.0.1 {self.nodes[0].port}")
        until(lambda: all(_knows(server, 6) for server in self.nodes), "all know each other")
        for primary, replica in zip(self.primaries, self.replicas, strict=True):
            name = ask(primary.port, "CLUSTER MYID").split()[1]
            _do(replica, f"CLUSTER REPLICATE {name}")
        until(lambda: all("cluster_state:ok" in _info(one) for one in self.nodes), "it serves")
        until(lambda: all(_linked(one) for one in self.replicas), "replicas follow")

    def kill(self) -> None:
        """kill -9 to all of it."""
        for server in self.nodes:
            server.kill()

    def spread(self, prefix: str, shards: int = 3) -> str:
        """A prefix that begins so, whose first shards are on all primaries."""
        for n in range(1000):
            name = f"{prefix}_{n}"
            holders = [self.holder(f"{{{name}:{shard}}}") for shard in range(shards)]
            if len({one.port for one in holders}) == len(self.primaries):
                return name
        raise ServerError(f"No prefix like {prefix!r} has {shards} shards on all primaries.")

    def replica_of(self, primary: RedisServer) -> RedisServer:
        """Its replica at the start."""
        return self.replicas[self.primaries.index(primary)]

    def holder(self, slot_of: str) -> RedisServer:
        """The primary that holds a key at the start."""
        slot = int(ask(self.primaries[0].port, f"CLUSTER KEYSLOT {slot_of}").strip(":\r\n"))
        return self.primaries[min(2, slot * 3 // SLOTS)]


def _node(folder: Path) -> RedisServer:
    port = free_port(above=BUS)
    return RedisServer(
        folder,
        *("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--appendonly", "no"),
        # What a lost node held is away, and nothing else.
        *("--cluster-require-full-coverage", "no", "--repl-ping-replica-period", "1"),
        *("--cluster-replica-validity-factor", "0"),  # However long it was cut off.
        port=port,
    )


def _do(server: RedisServer, command: str) -> None:
    answer = ask(server.port, command)
    if not answer.startswith("+OK"):
        raise ServerError(f"{command[:40]}: {answer}")


def _info(server: RedisServer) -> str:
    return ask(server.port, "CLUSTER INFO")


def _knows(server: RedisServer, count: int) -> bool:
    return f"cluster_known_nodes:{count}" in _info(server)


def _linked(server: RedisServer) -> bool:
    return "master_link_status:up" in ask(server.port, "INFO replication")


class WatchedRedis:
    """A primary, a replica, and three sentinels that watch them as ``jobs``."""

    def __init__(self, folder: Path) -> None:
        self.primary = RedisServer(folder / "primary", "--repl-diskless-sync-delay", "0")
        self.replica = RedisServer(
            folder / "replica", "--replicaof", "127.0.0.1", str(self.primary.port)
        )
        self.sentinels = [_sentinel(folder / f"sentinel{n}", self.primary) for n in range(3)]

    @property
    def url(self) -> str:
        """Its URL."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.sentinels)
        return f"redis+sentinel://{hosts}/jobs/0"

    def start(self) -> None:
        """Start it; the sentinels know of each other and of the replica when this returns."""
        self.primary.start()
        self.replica.start()
        until(lambda: _linked(self.replica), "the replica follows")
        for server in self.sentinels:
            server.start()
        until(lambda: all(map(_aware, self.sentinels)), "sentinels know all")

    def kill(self) -> None:
        """kill -9 to all of it."""
        for server in (*self.sentinels, self.replica, self.primary):
            server.kill()


def _aware(server: RedisServer) -> bool:
    told = ask(server.port, "SENTINEL MASTER jobs").split("\r\n")
    facts = dict(zip(told[2::4], told[4::4], strict=False))
    return facts.get("num-other-sentinels") == "2" and facts.get("num-slaves") == "1"


def _sentinel(folder: Path, primary: RedisServer) -> RedisServer:
    server = RedisServer(folder)
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"port {server.port}\n"
        "bind 127.0.0.1\n"
        f"dir {folder}\n"
        f"sentinel monitor jobs 127.0.0.1 {primary.port} 2\n"
        "sentinel down-after-milliseconds jobs 500\n"
        "sentinel failover-timeout jobs 2000\n"
    )
    server.command = [server.command[0], str(configuration), "--sentinel"]
    return server
