"""Take the samples, each in a process of its own, and print the table of medians."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import time

from benchmarks.figures import FIGURES, Figure


def main() -> None:
    """The command line."""
    options = _arguments()
    logging.basicConfig(level=logging.WARNING)
    if options.sample:
        print(json.dumps(asyncio.run(FIGURES[options.sample].sample())))
        return
    names = options.figures or list(FIGURES)
    _print_machine()
    for name in names:
        figure = FIGURES[name]
        count = options.samples or figure.samples
        values = [_sample(name, options.loop) for _ in range(count)]
        _print_line(figure, values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--samples", type=int, help="samples of each figure")
    parser.add_argument("--loop", choices=["auto", "asyncio", "uvloop"], default="auto")
    parser.add_argument("--sample", choices=list(FIGURES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.figures) - set(FIGURES)
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))}; choose from {', '.join(FIGURES)}")
    if options.sample:
        _install_loop(options.loop)
    return options


def _install_loop(choice: str) -> None:
    if choice != "asyncio" and (choice == "uvloop" or importlib.util.find_spec("uvloop")):
        import uvloop  # noqa: PLC0415 - not everybody has it

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _sample(name: str, loop: str) -> float:
    command = [sys.executable, "-m", "benchmarks", "--loop", loop, "--sample", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def _print_machine() -> None:
    began = time.perf_counter()
    for _ in range(1_000_000):
        pass
    million = time.perf_counter() - began
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, a loop of a million "
        f"passes takes {million * 1000:.0f} ms\n\n"
        f"{'figure':64} {'median':>10} {'min':>10} {'max':>10} {'target':>12}"
    )


def _print_line(figure: Figure, values: list[float]) -> None:
    median = statistics.median(values)
    reached = median <= figure.target if figure.at_most else median >= figure.target
    bound = "≤" if figure.at_most else "≥"
    shown = [_number(value) for value in (median, min(values), max(values))]
    print(
        f"{figure.label:64} {shown[0]:>10} {shown[1]:>10} {shown[2]:>10} "
        f"{f'{bound} {_number(figure.target)} {figure.unit}':>12}  {'' if reached else 'MISSED'}",
        flush=True,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    main()
