"""Functions that run when a batch ends or a chain fails: by name, or in this process only."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Literal

from asyncqueue import errors
from asyncqueue.errors import DriverUnavailable, JobFailedError, UnknownCallback
from asyncqueue.job import Job
from asyncqueue.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.batch import BatchInfo
    from asyncqueue.context import Context

    Callback = Callable[..., Any]

MOST_FUNCTIONS: Final = 100_000
"""Local functions that were not called (yet) that a process keeps at most."""
MOST_ERRORS: Final = 1_000
"""Errors that it keeps at most; of older ones callbacks are given the text."""


class Callbacks:
    """Functions by name. Safe to read from any thread."""

    def __init__(self) -> None:
        self._named: dict[str, Callback] = {}
        self._local: OrderedDict[str, Callback] = OrderedDict()
        self._errors: OrderedDict[str, BaseException] = OrderedDict()
        self._count = 0

    def register(self, name: str, function: Callback, *, replace: bool = False) -> None:
        """See :func:`register_callback`."""
        if not isinstance(name, str) or not name:
            raise TypeError(f"register_callback takes a name and a function, got {name!r}")
        if not callable(function):
            raise TypeError(f"The callback {name!r} must be a function, got {function!r}")
        taken = self._named.get(name)
        if taken not in (None, function) and not replace:
            raise ValueError(
                f"The callback name {name!r} is taken by {taken!r}; choose another, or give "
                "replace=True to take over."
            )
        self._named[name] = function

    def keep(self, function: Callback) -> str:
        """Keep a function of this process; answers the name to call it by."""
        self._count += 1
        name = f"local:{self._count}"
        _remember(self._local, name, function, MOST_FUNCTIONS)
        return name

    def find(self, name: str) -> Callback:
        """The function of this name. Raises :class:`UnknownCallback`."""
        function = self._local.get(name) or self._named.get(name)
        if function is None:
            raise UnknownCallback(
                f"No callback {name!r} is registered here.{suggest(name, self._named)} "
                "Call register_callback() where workers import it."
            )
        return function

    def known(self, name: str) -> bool:
        """Whether there is a function of this name."""
        return name in self._named

    def forget(self, name: str) -> None:
        """A function of this process is not called again."""
        self._local.pop(name, None)

    def remember_error(self, key: str, error: BaseException) -> None:
        """The first error of this batch or job, for those callbacks that this process calls."""
        if key not in self._errors:
            _remember(self._errors, key, error, MOST_ERRORS)

    def error(self, key: str, text: str | None) -> BaseException:
        """The error of this batch or job, or the nearest thing that its text gives."""
        return self._errors.get(key) or _error_from(text or "")


def _remember(where: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    where[key] = value
    while len(where) > most:
        where.popitem(last=False)


def _error_from(text: str) -> BaseException:
    """One of our own errors from ``Type: text``; any other is told by a JobFailedError."""
    name, _, rest = text.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.AsyncQueueError) and _takes_text(kind):
        return kind(rest)
    return JobFailedError(text)


def _takes_text(kind: type[errors.AsyncQueueError]) -> bool:
    """Whether a text is all that it is made of."""
    return kind.__init__ is errors.AsyncQueueError.__init__


callbacks: Final = Callbacks()
"""Those of this process."""


def register_callback(name: str, function: Callback, *, replace: bool = False) -> None:
    """Give a function the name by which batches and chains can call it from any process.

    ``then`` and ``finally_`` call ``function(batch)`` with the
    :class:`~asyncqueue.BatchInfo`, ``catch`` calls ``function(batch, error)`` or, for a chain,
    ``function(error)``; plain or a coroutine function. Register it where the workers' modules
    are imported. Another function under a taken name raises ``ValueError`` unless ``replace``
    is true.
    """
    callbacks.register(name, function, replace=replace)


When = Literal["then", "catch", "finally"]
_RUNS_AGAIN: Final = ("shutdown", "lease_lost")


class CallbackJob(Job, name="asyncqueue:callback"):
    """Calls a function for a batch or a chain.

    A function that raises is not called again, unless it could not reach the store.
    """

    callback: str
    when: When

    async def handle(self, ctx: Context) -> None:
        """Call it with what it takes."""
        function = callbacks.find(self.callback)
        batch = await ctx.batch()
        arguments: list[Any] = [batch]
        if self.when == "catch":
            arguments = _of_a_failure(function, batch, _failure(ctx, batch))
        try:
            answer = function(*arguments)
            if inspect.isawaitable(answer):
                await answer
        finally:
            if ctx.cause not in _RUNS_AGAIN:
                callbacks.forget(self.callback)

    def should_retry(self, error: Exception) -> bool:
        """Another worker may know the name, and a store that is away comes back."""
        return isinstance(error, (UnknownCallback, DriverUnavailable))


class ContinueJob(Job, name="asyncqueue:continue", retention=0):
    """Does nothing: what follows it in its chain is a batch, which it lets begin."""

    async def handle(self, ctx: Context) -> None:
        """Nothing."""


class HookJob(Job, name="asyncqueue:hook", retention=0):
    """Does nothing: it is taken away when the ``failed`` hook of a link has ended.

    Until then the catch of the chain waits for it. It runs where the process of the hook died.
    """

    async def handle(self, ctx: Context) -> None:
        """Nothing."""


def _failure(ctx: Context, batch: BatchInfo | None) -> BaseException:
    cause = ctx.failure
    if cause is not None:
        return callbacks.error(cause.job_id, cause.error)
    key = batch.id if batch is not None else ""
    return callbacks.error(key, batch.error if batch is not None else None)


def _of_a_failure(function: Callback, batch: BatchInfo | None, error: BaseException) -> list[Any]:
    """``(batch, error)``, or ``(error)`` where there is no room for both.

    That of a chain has a batch as well, where a link that is one has failed.
    """
    both = batch is not None
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # It does not tell.
        return [batch, error] if both else [error]
    if not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        both = sum(each.kind in positional for each in parameters) > 1
    return [batch, error] if both else [error]
