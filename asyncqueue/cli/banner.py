"""What a worker says when it starts and when it has ended, on stdout."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any, Final

import click

from asyncqueue.cli.output import encoded
from asyncqueue.cli.text import counted, duration, escaped, shortened
from asyncqueue.record import State
from asyncqueue.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncqueue.cli.logs import LogFormat
    from asyncqueue.worker import Worker

NAMES_SHOWN: Final = 20
_WORDS: Final = (
    (State.COMPLETED, "completed"),
    (State.FAILED, "failed"),
    (State.DELAYED, "retried"),
    (State.PENDING, "returned"),
    (State.CANCELLED, "cancelled"),
)


class Speaker:
    """Says things on stdout: sentences, or JSON lines that a log collector understands."""

    def __init__(self, log_format: LogFormat) -> None:
        self._as_json = log_format == "json"

    def say(self, event: str, text: str, **facts: Any) -> None:
        """Say ``text``; or, as JSON, that ``event`` with these facts."""
        if self._as_json:
            fact = {"event": event, "pid": os.getpid(), "version": __version__, **facts}
            self._write(encoded(fact).decode())
        else:
            self._write(text)

    @staticmethod
    def _write(text: str) -> None:
        try:
            click.echo(text)
        except OSError:
            # Nobody reads stdout any more. That is no reason for a worker to end.
            return


def announce(speaker: Speaker, worker: Worker, loop: str, *, brief: bool) -> None:
    """Say what this worker is going to do; ``brief`` for all but the first of several."""
    facts = _facts(worker, loop)
    if brief:
        text = f"asyncqueue {__version__} worker, pid {os.getpid()}"
    else:
        lines = [f"  {name:<12} {value}" for name, value in _described(worker, facts)]
        title = f"asyncqueue {__version__} worker, pid {os.getpid()}, Python {_python()}"
        text = "\n".join([title, *lines])
    speaker.say("starting", text, **facts)


def _facts(worker: Worker, loop: str) -> dict[str, Any]:
    timing = worker.timing
    return {
        "driver": worker.queue.driver.location(),
        "queues": queues_of(worker),
        "concurrency": worker.concurrency,
        "timeout": worker.defaults.timeout,
        "max_attempts": worker.defaults.max_attempts,
        "lease": timing.lease,
        "grace": timing.grace,
        "drain_timeout": timing.drain,
        "loop": loop,
        "jobs": list(worker.queue.registry),
    }


def _described(worker: Worker, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    driver, jobs = worker.queue.driver, facts["jobs"]
    shown = ", ".join(jobs[:NAMES_SHOWN])
    more = f" and {len(jobs) - NAMES_SHOWN} more" if len(jobs) > NAMES_SHOWN else ""
    return [
        ("driver", escaped(f"{driver.name} ({facts['driver']})")),
        ("queues", escaped(facts["queues"])),
        ("concurrency", counted(facts["concurrency"], "job") + " at a time"),
        ("timeout", f"{duration(facts['timeout'])}, {counted(facts['max_attempts'], 'attempt')}"),
        ("lease", duration(facts["lease"])),
        ("shutdown", _shutdown(facts["grace"], facts["drain_timeout"])),
        ("loop", facts["loop"]),
        ("jobs", escaped(f"{len(jobs)}: {shown}{more}") if jobs else "none"),
    ]


def queues_of(worker: Worker) -> str:
    """``high, default (10 shared slots)``, or ``emails 4, exports 1``."""
    if len(worker.pools) == 1 and len(worker.pools[0].names) > 1:
        pool = worker.pools[0]
        return f"{', '.join(pool.names)} ({counted(pool.slots, 'shared slot')}, in this order)"
    return ", ".join(f"{pool.names[0]} {pool.slots}" for pool in worker.pools)


def _shutdown(grace: float, drain: float | None) -> str:
    bound = "as long as they need" if drain is None else duration(drain)
    return f"grace {duration(grace)}, then jobs are cancelled and have {bound} to unwind"


def totals_of(worker: Worker) -> dict[str, int]:
    """How many jobs ended how, since the worker was started."""
    return {word: worker.totals[state] for state, word in _WORDS}


def farewell(speaker: Speaker, worker: Worker, reason: str) -> None:
    """Say that the worker ended, why, and what it did."""
    totals = totals_of(worker)
    done = ", ".join(
        f"{number:,} {word}" for word, number in totals.items() if number or word != "cancelled"
    )
    speaker.say(
        "stopped", f"Stopped ({shortened(reason, 80)}): {done}.", reason=reason, totals=totals
    )


def _python() -> str:
    return platform.python_version()
