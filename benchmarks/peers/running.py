"""Runs the processes of a peer, and reads what they tell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import struct
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.catalogue import Peer
    from benchmarks.peers.environments import Environment

HEAD = 24
"""Bytes of a tally before its latencies: count, first start, last end."""
VERB_PATIENCE = 600.0


class SampleError(Exception):
    """A peer did not do what was asked of it; the message ends with what it printed."""


class Progress(NamedTuple):
    """What the tallies of all processes show together."""

    count: int
    first: float
    last: float
    processes: int
    """How many processes have run jobs."""


class Run:
    """The processes of a peer for one figure, in a folder of their own."""

    def __init__(
        self, peer: Peer, environment: Environment, url: str, figure: str, folder: Path
    ) -> None:
        self._environment = environment
        self._log = folder / "log"
        self._tallies = folder / "tallies"
        self._tallies.mkdir()
        self._variables = os.environ | {
            "PYTHONPATH": str(ROOT),
            "NODE_ENV": "production",
            "PEER_URL": url,
            "PEER_FIGURE": figure,
            "PEER_CONCURRENCY": str(peer.concurrency.get(figure, 10)),
            "PEER_OPTIONS": json.dumps(peer.options),
            "PEER_TALLIES": str(self._tallies),
        }

    def verb(self, verb: str, *counts: int) -> str:
        """Run the adapter to its end; answers the last line that it printed."""
        command = [*self._environment.command, verb, *map(str, counts)]
        try:
            with self._log.open("ab") as log:
                done = subprocess.run(
                    command,
                    check=False,
                    cwd=self._environment.folder,
                    env=self._variables,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    timeout=VERB_PATIENCE,
                )
        except subprocess.TimeoutExpired as error:
            raise SampleError(f"{verb} did not end: {self.told()}") from error
        if done.returncode:
            raise SampleError(f"{verb} failed: {self.told()}")
        return done.stdout.strip().rpartition("\n")[2]

    def rate(self, verb: str, *counts: int) -> float:
        """As :meth:`verb`, of those that end with a rate."""
        told = self.verb(verb, *counts)
        try:
            return float(told)
        except ValueError as error:
            raise SampleError(f"{verb} ended with {told!r}, not with a rate") from error

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, as long as the block lasts; then kill -9: its store is cleared anyway."""
        with self._log.open("ab") as log:
            worker = subprocess.Popen(
                [*self._environment.command, "work"],
                cwd=self._environment.folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def progress(self) -> Progress:
        """What has been run so far."""
        heads = [struct.unpack("3d", read) for read in self._read(HEAD) if len(read) == HEAD]
        heads = [head for head in heads if head[0]]
        if not heads:
            return Progress(0, 0.0, 0.0, 0)
        counts, firsts, lasts = zip(*heads, strict=True)
        return Progress(int(sum(counts)), min(firsts), max(lasts), len(heads))

    def latencies(self, count: int) -> list[float]:
        """Those that were recorded, in seconds."""
        recorded: list[float] = []
        for read in self._read(HEAD + 8 * count):
            recorded += struct.unpack(f"{count}d", read[HEAD:])
        return [late for late in recorded if late]

    def told(self) -> str:
        """The last line of its log that is more than a frame around others."""
        lines = self._log.read_text(errors="replace").splitlines()
        told = [line.strip(" |") for line in lines if re.search("[a-z]{3}", line)]
        return told[-1][-300:] if told else "it said nothing"

    def _read(self, size: int) -> list[bytes]:
        read: list[bytes] = []
        for path in self._tallies.iterdir():
            with path.open("rb") as file:
                read.append(file.read(size))
        return read
