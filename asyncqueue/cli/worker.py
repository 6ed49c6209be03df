"""The worker verb: its options, and what of them applies to which target."""

from __future__ import annotations

import gc
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from asyncqueue.cli import leaving, logs
from asyncqueue.cli.banner import Speaker
from asyncqueue.cli.errors import wrong_use
from asyncqueue.cli.options import Options
from asyncqueue.cli.parameters import QUEUES, SPAN, SPAN_OR_NONE
from asyncqueue.cli.program import RAW_ARGUMENTS, Verb
from asyncqueue.cli.serve import Service
from asyncqueue.cli.signals import SIGNALS, watch_lifeline
from asyncqueue.cli.target import import_module, load, see_current_directory
from asyncqueue.queue import Queue
from asyncqueue.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

TUNING: Final = {
    "queues": "--queue",
    "concurrency": "--concurrency",
    "timeout": "--timeout",
    "tries": "--tries",
    "grace": "--grace",
    "drain_timeout": "--drain-timeout",
    "lease": "--lease",
    "prefetch": "--prefetch",
    "poll_interval": "--poll-interval",
    "max_jobs": "--max-jobs",
    "max_time": "--max-time",
    "max_memory": "--max-memory",
    "stop_when_empty": "--stop-when-empty",
    "once": "--once",
}
"""The options that a Worker of the application has answered already."""
COLLECT_AFTER: Final = 10_000
"""New objects before the garbage collector looks at them; Python's own number is 700."""
_RENAMED: Final = {"tries": "max_attempts", "max_memory": "max_memory_mb"}
_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.argument("target", metavar="[MODULE:ATTRIBUTE]", required=False),
    click.option("--import", "imports", metavar="MODULE", multiple=True,
                 help="Import job classes from here, too. Repeatable."),
    click.option("--queue", "queues", type=QUEUES, metavar="NAME[=SLOTS]", multiple=True,
                 help="Serve this queue: in the order given, or with slots of its own."),
    click.option("--concurrency", type=int, metavar="N", help="Jobs at a time.  [10]"),
    click.option("--timeout", type=SPAN_OR_NONE, metavar="S",
                 help="Seconds per attempt, or none, for jobs that do not say.  [30]"),
    click.option("--tries", type=click.IntRange(0), metavar="N",
                 help="Attempts, for jobs that do not say.  [3]"),
    click.option("--grace", type=SPAN, metavar="S",
                 help="How long jobs may run on after a stop before they are cancelled.  [0]"),
    click.option("--drain-timeout", type=SPAN_OR_NONE, metavar="S",
                 help="How long a cancelled job may unwind, or none.  [5]"),
    click.option("--lease", type=SPAN, metavar="S",
                 help="How soon another worker may take over after a crash.  [30]"),
    click.option("--prefetch", type=click.IntRange(0), metavar="N",
                 help="Jobs to claim beyond the free slots.  [0]"),
    click.option("--poll-interval", type=SPAN, metavar="S",
                 help="How often to look where no wake-up comes.  [0.1]"),
    click.option("--max-jobs", type=click.IntRange(1), metavar="N", help="End after N jobs."),
    click.option("--max-time", type=SPAN, metavar="S", help="End after this time."),
    click.option("--max-memory", type=click.FloatRange(0, min_open=True), metavar="MB",
                 help="End when this much memory is in use; exit code 12."),
    click.option("--stop-when-empty", is_flag=True, help="End when nothing is due."),
    click.option("--once", is_flag=True, help="Run one job if one is due, then end."),
    click.option("--processes", type=click.IntRange(1), metavar="N",
                 help="Run N such workers and restart those that die."),
    click.option("--reload", is_flag=True, help="Restart when a source file changes."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default="text"),
    click.option("--log-level", default="INFO",
                 type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False)),
    click.option("--loop", type=click.Choice(["auto", "asyncio", "uvloop"]), default="auto",
                 help="The event loop; auto is uvloop where installed."),
    # What a supervisor tells its children.
    click.option("--child", is_flag=True, hidden=True),
    click.option("--brief", is_flag=True, hidden=True),
    click.option("--ready", type=int, default=-1, hidden=True),
    click.option("--lifeline", type=int, default=-1, hidden=True),
)  # fmt: skip


def _with_options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(
    cls=Verb,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ended as asked, 1 failed, 2 used wrongly, 12 reached --max-memory.",
)
@_with_options
@click.pass_context
def worker(ctx: click.Context, **given: Any) -> None:
    """Run jobs until SIGTERM or Ctrl-C.

    MODULE:ATTRIBUTE is a Queue, or a Worker, which is run as it is configured. Without it the
    environment's queue is used, and --import names the modules with the job classes.
    """
    options = Options(**given)
    _check(options)
    logs.set_up(options.log_format, options.log_level.upper())
    SIGNALS.as_json = options.log_format == "json"
    if not options.child and (options.processes or options.reload):
        from asyncqueue.cli.supervisor import supervise  # noqa: PLC0415 - most never need it

        leaving.leave(supervise(options, ctx.meta[RAW_ARGUMENTS]))
    work(options)


def work(options: Options) -> NoReturn:
    """Run one worker in this process and end it with the exit code."""
    SIGNALS.install()
    if options.lifeline >= 0:
        watch_lifeline(options.lifeline)
    built = build(options)
    _spare_the_collector()
    name, new_loop = leaving.loop_factory(options.loop)
    service = Service(
        built,
        Speaker(options.log_format),
        name,
        child=options.child,
        brief=options.brief,
        ready=options.ready,
    )
    leaving.leave(leaving.run(service.run, new_loop))


def _spare_the_collector() -> None:
    """Let Python's garbage collector come less often, and look at what jobs make only.

    Every batch of claims calls for it otherwise, to look at all modules as well. A process that
    has set its own threshold, or switched it off, keeps that.
    """
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    if gc.isenabled() and 0 < young < COLLECT_AFTER:
        gc.set_threshold(COLLECT_AFTER, *older)


def build(options: Options) -> Worker:
    """The worker that the options describe; raises :class:`~.errors.Failure` for wrong ones."""
    see_current_directory()
    target = load(options.target) if options.target is not None else None
    for module in options.imports:
        import_module(module)
    if isinstance(target, Worker):
        _refuse_tuning(options)
        return _usable(target)
    queue = Queue.from_env() if target is None else target
    try:
        return _usable(Worker(queue, _queues(options, queue), **_tuning(options)))
    except (TypeError, ValueError) as error:
        raise wrong_use(str(error)) from error


def _check(options: Options) -> None:
    if options.once and options.max_jobs is not None:
        raise wrong_use("--once is --max-jobs 1 --stop-when-empty; give one or the other")
    if options.once and options.processes is not None:
        raise wrong_use("--once runs one job, so --processes means nothing with it")
    if options.once and options.reload:
        raise wrong_use("--once runs one job, so --reload means nothing with it")


def _refuse_tuning(options: Options) -> None:
    given = [option for name, option in TUNING.items() if _given(getattr(options, name))]
    if given:
        raise wrong_use(
            f"{options.target} is a Worker, which is run as it is configured; "
            f"{', '.join(given)} would change that.",
            "Leave it out, or name the Queue instead of the Worker.",
        )


def _usable(built: Worker) -> Worker:
    if built.queue.driver.name == "sync":
        raise wrong_use(
            "With the sync driver jobs run where they are dispatched; no worker has anything "
            "to do.",
            "Name a store, such as QUEUE_URL=sqlite:///queue.db",
        )
    return built


def _queues(options: Options, queue: Queue) -> list[str] | dict[str, int] | None:
    """The queues to serve: a list with shared slots, or a mapping as soon as one has its own."""
    slots: dict[str, int | None] = {}
    for some in options.queues:
        twice = sorted(slots.keys() & some.keys())
        if twice:
            raise wrong_use(f'--queue names "{twice[0]}" twice')
        slots.update(some)
    own = {name: number for name, number in slots.items() if number is not None}
    if not own:
        return list(slots) or None
    if options.concurrency is not None and len(own) == len(slots):
        raise wrong_use(
            "Each queue has slots of its own, so --concurrency would change nothing; leave it out"
        )
    common = Worker(queue, concurrency=options.concurrency).concurrency
    return {name: number or common for name, number in slots.items()}


def _tuning(options: Options) -> dict[str, Any]:
    """The options that were given, as Worker calls them."""
    tuning = {
        _RENAMED.get(name, name): getattr(options, name)
        for name in TUNING
        if name not in ("queues", "once") and _given(getattr(options, name))
    }
    if tuning.get("drain_timeout") == math.inf:
        tuning["drain_timeout"] = None
    if options.once:
        tuning |= {"max_jobs": 1, "stop_when_empty": True}
    return tuning


def _given(value: Any) -> bool:
    return value is not None and value is not False and value != ()
