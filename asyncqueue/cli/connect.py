"""Which queue an operating command works on: ``--url``, ``--app`` or the environment's."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import click

from asyncqueue.cli.errors import wrong_use
from asyncqueue.cli.output import Output
from asyncqueue.cli.target import load, queue_of
from asyncqueue.queue import Queue
from asyncqueue.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.base import Driver


class Operator:
    """Opens the queue that the options name, runs a command on it and closes it."""

    def __init__(self, url: str | None, app: str | None, *, as_json: bool) -> None:
        self.out = Output(as_json=as_json)
        self.app = app
        self._url = url

    def queue(self) -> Queue:
        """The queue, not yet opened; raises :class:`~.errors.Failure` where none is named."""
        if self._url is not None and self.app is not None:
            raise wrong_use("--url and --app both name a queue; give one of them")
        if self.app is not None:
            return queue_of(load(self.app))
        return Queue(settings=Settings.from_env(url=self._url))

    def run(self, work: Callable[[Queue], Awaitable[None]]) -> None:
        """Open the queue and do the work."""
        asyncio.run(_work_on(self._visible_queue(), work))

    def run_unopened(self, work: Callable[[Driver], Awaitable[None]]) -> None:
        """Do work that opens the driver itself."""
        asyncio.run(_work_on_unopened(self._visible_queue().driver, work))

    def _visible_queue(self) -> Queue:
        queue = self.queue()
        if queue.driver.in_process:
            raise wrong_use(
                f"A {queue.driver.name}:// queue lives in the process that made it; from here "
                "nothing of it can be seen.",
                "Name the store: --url sqlite:///queue.db, --app module:queue, or QUEUE_URL.",
            )
        return queue


async def _work_on_unopened(driver: Driver, work: Callable[[Driver], Awaitable[None]]) -> None:
    try:
        await work(driver)
    finally:
        await driver.close()


async def _work_on(queue: Queue, work: Callable[[Queue], Awaitable[None]]) -> None:
    async with queue:
        await work(queue)


def operating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url``, ``--app`` and ``--json``, and an :class:`Operator` first."""

    @click.option("--url", metavar="URL", help="The store; default: QUEUE_URL and its kin.")
    @click.option("--app", metavar="MODULE:QUEUE", help="The queue of an application.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @functools.wraps(function)
    def with_operator(
        *args: Any, url: str | None, app: str | None, as_json: bool, **kwargs: Any
    ) -> Any:
        return function(Operator(url, app, as_json=as_json), *args, **kwargs)

    return with_operator
