"""``python -m asyncqueue`` and the command ``asyncqueue``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; ends the process with exit code 0, 1 or 2 (see ``--help``)."""
    from asyncqueue.cli.signals import SIGNALS  # noqa: PLC0415 - before the rest is imported

    if "worker" in sys.argv[1:2]:
        SIGNALS.install()
    from asyncqueue.cli.app import asyncqueue  # noqa: PLC0415

    asyncqueue.main(prog_name="asyncqueue")
    raise SystemExit


if __name__ == "__main__":
    main()
