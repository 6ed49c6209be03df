"""Measure the peers of a store turn by turn on one private server, and print one table.

Each peer is installed into an environment of its own, below $XDG_CACHE_HOME/asyncqueue-peers. One
that cannot be installed, or does not finish its jobs, is shown as such. Figures depend on the
machine, and on what else it does. Three samples take about twenty minutes a store.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.catalogue import peers_of
from benchmarks.peers.environments import NotInstalledError, environment_of
from benchmarks.peers.measuring import FIGURES, Bench
from benchmarks.peers.running import SampleError
from benchmarks.peers.stores import STORES
from benchmarks.peers.table import NOT_INSTALLED, Row, machine, markdown

if TYPE_CHECKING:
    from benchmarks.peers.stores import Store


def main() -> None:
    """The command line."""
    options = _arguments()
    # Without this, workers would outlive a measurement that is ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = {
        name: Row(peer, defaultdict(list), [])
        for name, peer in peers_of(options.store).items()
        if name in options.peers
    }
    with STORES[options.store]() as store:
        benches = _installed(rows, store, options.scale)
        for number in range(1, options.samples + 1):
            for bench in benches:
                _say(f"sample {number} of {options.samples}: {bench.peer.name}")
                _sample(bench, rows[bench.peer.name], options.figures)
                _keep(rows, options.json)
        print(f"{store.name}; {machine()}; medians of {options.samples}\n")
    print("\n".join(markdown(list(rows.values()))))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("store", choices=list(STORES))
    parser.add_argument("peers", nargs="*", metavar="peer", help="only these")
    parser.add_argument("--samples", type=int, default=3, help="of each peer (3)")
    parser.add_argument("--scale", type=float, default=1.0, help="0.01: a hundredth of the jobs")
    parser.add_argument("--figures", nargs="+", choices=list(FIGURES), default=list(FIGURES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, too")
    options = parser.parse_intermixed_args()  # Peers may come after options.
    known = list(peers_of(options.store))
    if unknown := set(options.peers) - set(known):
        parser.error(f"no peer {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    options.peers = options.peers or known
    return options


def _installed(rows: dict[str, Row], store: Store, scale: float) -> list[Bench]:
    benches: list[Bench] = []
    for name, row in rows.items():
        try:
            benches.append(Bench(row.peer, environment_of(row.peer), store, scale))
        except NotInstalledError as error:
            row.problems.append(f"{NOT_INSTALLED}: {error}")
            _say(f"{name}: {row.problems[-1]}")
    return benches


def _sample(bench: Bench, row: Row, figures: list[str]) -> None:
    for figure in figures:
        try:
            for key, value in FIGURES[figure](bench).items():
                row.samples[key].append(value)
        except SampleError as error:
            row.problems.append(f"{figure}: {error}")
            _say(f"{bench.peer.name}: {row.problems[-1]}")


def _keep(rows: dict[str, Row], path: Path | None) -> None:
    if path is not None:
        samples = {name: {**row.samples, "problems": row.problems} for name, row in rows.items()}
        path.write_text(json.dumps(samples, indent=1) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
