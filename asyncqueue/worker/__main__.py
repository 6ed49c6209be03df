"""``python -m asyncqueue.worker``, which is ``asyncqueue worker``."""

from __future__ import annotations

from asyncqueue.cli.signals import SIGNALS

if __name__ == "__main__":
    # Before the rest of the command and the application are imported. Until here
    # asyncqueue.starting has minded the signals.
    SIGNALS.install()

    from asyncqueue.cli.worker import worker

    worker.main(prog_name="asyncqueue worker")
