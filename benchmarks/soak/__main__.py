"""Run one of the long scenarios: ``python -m benchmarks.soak kills --store redis --seconds 300``.

Ends with exit code 1 where something was lost, doubled or broken. Without a name it lists them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from benchmarks.reliability.places import scene_on
from benchmarks.soak.scenarios import SCENARIOS, Soak


def main() -> int:
    """The command line; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(SCENARIOS))
    parser.add_argument("--store", choices=["sqlite", "postgres", "redis"], default="redis")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    if options.name is None:
        for name, scenario in sorted(SCENARIOS.items()):
            print(f"{name:10} {(scenario.__doc__ or '').splitlines()[0]}")
        return 0
    print(f"{options.name} on {options.store}, {options.seconds:g} s, seed {options.seed}")
    problems = asyncio.run(run(options))
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0


async def run(options: argparse.Namespace) -> list[str]:
    """Run it; answers what is wrong."""
    async with scene_on(options.store) as scene:
        soak = Soak(scene, options.seconds, random.Random(options.seed))
        return await SCENARIOS[options.name](soak)


if __name__ == "__main__":
    sys.exit(main())
