"""The command ``asyncqueue`` with all its verbs."""

from __future__ import annotations

import click

from asyncqueue.cli.batches import batch
from asyncqueue.cli.demo import demo
from asyncqueue.cli.doctor import doctor
from asyncqueue.cli.failed import failed
from asyncqueue.cli.jobs import cancel, explain, jobs, ps, show
from asyncqueue.cli.program import Verbs
from asyncqueue.cli.queues import (
    clear,
    migrate,
    monitor,
    pause,
    restart,
    resume,
    size,
    stats,
    workers,
)
from asyncqueue.cli.schedule import schedule
from asyncqueue.cli.worker import worker
from asyncqueue.version import __version__


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 used wrongly, 12 a worker reached its memory limit.",
)
@click.version_option(__version__, prog_name="asyncqueue", message="%(prog)s %(version)s")
def asyncqueue() -> None:
    """Background jobs for asyncio: run workers, look after queues and jobs.

    The queue is the environment's (QUEUE_URL and its kin, .env included), unless --url or
    --app names another.
    """


for verb in (
    worker,
    schedule,
    stats,
    size,
    monitor,
    jobs,
    show,
    explain,
    ps,
    cancel,
    pause,
    resume,
    clear,
    failed,
    batch,
    workers,
    restart,
    migrate,
    doctor,
    demo,
):
    asyncqueue.add_command(verb)
