"""``python -m asyncqueue.worker``, which is ``asyncqueue worker``."""

from __future__ import annotations

from asyncqueue.cli.signals import SIGNALS

if __name__ == "__main__":
    # First of all: a signal must not meet the rest of the imports, nor those of the application.
    SIGNALS.install()

    from asyncqueue.cli.worker import worker

    worker.main(prog_name="asyncqueue worker")
