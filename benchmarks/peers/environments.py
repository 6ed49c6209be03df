"""An environment of its own for each peer, in a cache folder, made once from the pins."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers.catalogue import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peers.catalogue import Peer

ROOT = FOLDER.parents[1]
READY = "ready"
PATIENCE = 900.0
"""Seconds that one installation may take."""


class NotInstalledError(Exception):
    """A peer's packages could not be installed; the message is the last that the installer said."""


class Environment(NamedTuple):
    """Where a peer is installed, and how its adapter is called."""

    command: tuple[str, ...]
    folder: Path
    """The working directory of its processes."""


def environment_of(peer: Peer) -> Environment:
    """Install the peer if it is not there yet. Raises :class:`NotInstalledError`."""
    if peer.npm:
        return _node(peer)
    inside = ("-m", "benchmarks.peers.inside", f"{peer.store}.{peer.adapter}")
    if not peer.packages:
        return Environment((sys.executable, *inside), ROOT)
    folder = _cached(peer, f"python {platform.python_version()}", peer.packages)
    python = folder / "bin" / "python"
    if not (folder / READY).exists():
        _begin(folder)
        _install([sys.executable, "-m", "venv", str(folder)], folder)
        _install([str(python), "-m", "pip", "install", "--quiet", *peer.packages], folder)
        (folder / READY).touch()
    return Environment((str(python), *inside), ROOT)


def _node(peer: Peer) -> Environment:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotInstalledError("node and npm are needed")
    folder = _cached(peer, "node", peer.npm)
    if not (folder / READY).exists():
        _begin(folder)
        (folder / "package.json").write_text('{"private": true}\n')
        _install([npm, "install", "--no-audit", "--no-fund", *peer.npm], folder)
        (folder / READY).touch()
    # A module finds packages in the folders above its own file, so the adapter stands beside them.
    adapter = f"{peer.adapter}.mjs"
    shutil.copy(FOLDER / "inside.mjs", folder)
    shutil.copy(FOLDER / peer.store / adapter, folder)
    return Environment((node, "inside.mjs", adapter), folder)


def cache_folder() -> Path:
    """Outside of the repository: environments are large, and no part of it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "asyncqueue-peers"


def _cached(peer: Peer, interpreter: str, pins: Sequence[str]) -> Path:
    key = hashlib.sha256("\n".join([interpreter, *pins]).encode()).hexdigest()[:8]
    return cache_folder() / f"{peer.adapter}-{key}"


def _begin(folder: Path) -> None:
    print(f"installing into {folder.name}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # Left by an installation that was cut short.
    folder.mkdir(parents=True)


def _install(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, check=False, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(str(error)) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).splitlines()
        # npm ends with where its log is, which says nothing.
        said = [line for line in lines if len(line.split()) > 3 and "complete log" not in line]
        raise NotInstalledError(said[-1] if said else f"exit status {done.returncode}")
