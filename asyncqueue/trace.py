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
    """The three ids of a span, as the producer wrote them."""

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
    """Make ``trace`` the current one inside the block."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def enter_trace(trace: Trace) -> None:
    """Make ``trace`` the current one for the rest of this asyncio task."""
    _current.set(trace)


def current_trace() -> Trace | None:
    """The current OpenTelemetry span, where that is installed; else that of ``use_trace``."""
    get_span = _span_getter()
    if get_span is not None:
        span: Any = get_span().get_span_context()
        if span.is_valid:
            parent: Any = getattr(get_span(), "parent", None)
            return Trace(
                f"{span.trace_id:032x}",
                f"{span.span_id:016x}",
                f"{parent.span_id:016x}" if parent is not None else None,
            )
    return _current.get()


@functools.cache
def _span_getter() -> Callable[[], Any] | None:
    try:
        from opentelemetry import trace  # type: ignore[import-not-found]  # noqa: PLC0415
    except ImportError:
        return None
    getter: Callable[[], Any] = trace.get_current_span
    return getter
