"""Trace ids that travel with a job from the producer to the handler."""

from __future__ import annotations

import contextlib
import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """The three ids of a span, as the producer wrote them: any text.

    Those of OpenTelemetry are its hexadecimal ones. Raises ``TypeError`` for what is no text.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be read back from a stored job."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "parent_id" and value is None):
                raise TypeError(f"Trace: {name} must be a string, got {value!r}")


_current: ContextVar[Trace | None] = ContextVar("asyncqueue_trace", default=None)


@contextlib.contextmanager
def use_trace(trace: Trace | None) -> Generator[None]:
    """Make ``trace`` the current one inside the block. Raises ``TypeError`` for anything else."""
    if trace is not None and not isinstance(trace, Trace):
        raise TypeError(f"use_trace takes a Trace(trace_id, span_id, parent_id), got {trace!r}")
    token = _current.set(trace)
    try:
        with _span_kept():
            yield
    finally:
        _current.reset(token)


def enter_trace(trace: Trace) -> None:
    """Make ``trace`` the current one for the rest of this asyncio task.

    Where OpenTelemetry is installed, spans that are opened from now on are children of it.
    """
    _current.set(trace)
    if _span_getter() is not None:
        _enter_span(trace)


def current_trace() -> Trace | None:
    """The current OpenTelemetry span, where that is installed; else that of ``use_trace``."""
    get_span = _span_getter()
    if get_span is not None:
        span: Any = get_span().get_span_context()
        if span.is_valid:
            entered = _current.get()
            if entered is not None and _ids(entered) == (span.trace_id, span.span_id):
                return entered
            parent: Any = getattr(get_span(), "parent", None)
            return Trace(
                f"{span.trace_id:032x}",
                f"{span.span_id:016x}",
                f"{parent.span_id:016x}" if parent is not None else None,
            )
    return _current.get()


def _enter_span(trace: Trace) -> None:
    """Make the producer's span the current one, instead of any that the worker is in."""
    from opentelemetry import context  # type: ignore[import-not-found]  # noqa: PLC0415
    from opentelemetry import trace as spans  # noqa: PLC0415

    known: Any = spans
    ids = _ids(trace)
    span: Any = known.INVALID_SPAN
    if ids is not None:
        flags: Any = known.TraceFlags(known.TraceFlags.SAMPLED)
        span = known.NonRecordingSpan(known.SpanContext(*ids, is_remote=True, trace_flags=flags))
    attach: Callable[[Any], object] = context.attach
    attach(known.set_span_in_context(span))


@contextlib.contextmanager
def _span_kept() -> Generator[None]:
    """Whatever span is entered inside, afterwards that of before is the current one again."""
    if _span_getter() is None:
        yield
        return
    from opentelemetry import context  # noqa: PLC0415

    known: Any = context
    token = known.attach(known.get_current())
    try:
        yield
    finally:
        known.detach(token)


def _ids(trace: Trace) -> tuple[int, int] | None:
    """The ids as OpenTelemetry has them; None where they are others."""
    try:
        return int(trace.trace_id, 16), int(trace.span_id, 16)
    except ValueError:
        return None


@functools.cache
def _span_getter() -> Callable[[], Any] | None:
    try:
        from opentelemetry import trace  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        return None
    getter: Callable[[], Any] = trace.get_current_span
    return getter
