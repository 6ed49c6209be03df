"""The schedule verb: shows the entries of a scheduler, and runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from asyncqueue.cli import leaving, logs
from asyncqueue.cli.banner import Speaker
from asyncqueue.cli.output import Output
from asyncqueue.cli.program import Verb
from asyncqueue.cli.scheduling import Service, entry_rows
from asyncqueue.cli.signals import SIGNALS
from asyncqueue.cli.target import load_scheduler

if TYPE_CHECKING:
    from asyncqueue.cli.leaving import LoopName
    from asyncqueue.cli.logs import LogFormat


@click.command(
    cls=Verb,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ended as asked, 1 failed, 2 used wrongly.",
)
@click.argument("target", metavar="MODULE:ATTRIBUTE")
@click.option("--list", "only_list", is_flag=True, help="Show the entries, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "--log-level",
    default="INFO",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
)
@click.option(
    "--loop",
    type=click.Choice(["auto", "asyncio", "uvloop"]),
    default="auto",
    help="The event loop; auto is uvloop where installed.",
)
def schedule(
    target: str,
    only_list: bool,
    as_json: bool,
    log_format: LogFormat,
    log_level: str,
    loop: LoopName,
) -> None:
    """Dispatch jobs when they are due, until SIGTERM or Ctrl-C.

    MODULE:ATTRIBUTE is a Scheduler. Its entries are shown, with the time at which each is due
    next. Run as many of these as you like: each slot is dispatched once in all. The jobs
    themselves are run by workers.
    """
    if only_list:
        entries = load_scheduler(target).entries()
        headings, rows = entry_rows(entries)
        Output(as_json=as_json).table(entries, headings, rows, "No entries.")
        return
    logs.set_up(log_format, log_level.upper())
    SIGNALS.as_json = log_format == "json"
    SIGNALS.install()
    speaker = Speaker("json" if as_json else log_format)
    service = Service(load_scheduler(target), speaker)
    _, new_loop = leaving.loop_factory(loop)
    leaving.leave(leaving.run(service.run, new_loop))
