"""The options of the worker command."""

from __future__ import annotations

import msgspec

from asyncqueue.cli.leaving import LoopName
from asyncqueue.cli.logs import LogFormat


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was given to the worker command; None where nothing was."""

    target: str | None
    imports: tuple[str, ...]
    queues: tuple[dict[str, int | None], ...]
    concurrency: int | None
    timeout: float | None
    tries: int | None
    grace: float | None
    drain_timeout: float | None
    lease: float | None
    prefetch: int | None
    poll_interval: float | None
    max_jobs: int | None
    max_time: float | None
    max_memory: float | None
    stop_when_empty: bool
    once: bool
    processes: int | None
    reload: bool
    log_format: LogFormat
    log_level: str
    loop: LoopName
    child: bool
    brief: bool
    ready: int
    lifeline: int
