"""Trace ids: where they come from and how far they reach."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from asyncqueue import trace as trace_module
from asyncqueue.trace import Trace, current_trace, enter_trace, use_trace

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = Trace("a" * 32, "b" * 16, "c" * 16)
OTHER = Trace("d" * 32, "e" * 16)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Whether OpenTelemetry is installed is asked again."""
    trace_module._span_getter.cache_clear()
    yield
    trace_module._span_getter.cache_clear()


class TestOurOwn:
    @pytest.mark.case("TRC-04")
    def test_nothing_when_there_is_nothing(self) -> None:
        assert current_trace() is None

    def test_inside_the_block_only(self) -> None:
        with use_trace(OURS):
            assert current_trace() == OURS
            with use_trace(OTHER):
                assert current_trace() == OTHER
            assert current_trace() == OURS
            with use_trace(None):
                assert current_trace() is None
        assert current_trace() is None

    @pytest.mark.parametrize("given", ["a" * 32, 5, ("a", "b", "c")])
    def test_anything_else_is_refused(self, given: Any) -> None:
        with pytest.raises(TypeError, match="use_trace takes a Trace"), use_trace(given):
            pass

    def test_an_exception_ends_the_block_too(self) -> None:
        with pytest.raises(KeyError), use_trace(OURS):
            raise KeyError
        assert current_trace() is None

    async def test_it_reaches_what_is_started_inside(self) -> None:
        async def look() -> Trace | None:
            return current_trace()

        with use_trace(OURS):
            started = asyncio.create_task(look())
            in_thread = await asyncio.to_thread(current_trace)
        assert await started == OURS
        assert in_thread == OURS
        assert await look() is None

    async def test_entering_lasts_as_long_as_the_task(self) -> None:
        """A handler runs in a task of its own."""

        async def handler() -> Trace | None:
            enter_trace(OURS)
            return current_trace()

        assert await asyncio.create_task(handler()) == OURS
        assert current_trace() is None

    def test_it_is_stored_as_a_short_list(self) -> None:
        stored = msgspec.msgpack.encode(OURS)
        assert msgspec.msgpack.decode(stored) == ["a" * 32, "b" * 16, "c" * 16]
        assert msgspec.msgpack.decode(stored, type=Trace) == OURS
        assert OTHER.parent_id is None


@pytest.mark.case("TRC-01", "TRC-07")
class TestOpenTelemetry:
    """The current span, where the package is installed."""

    @pytest.fixture
    def spans(self) -> Any:
        return pytest.importorskip("opentelemetry.trace")

    @pytest.fixture
    def inside(self, spans: Any) -> Any:
        def run(trace_id: int, span_id: int, parent: Any, call: Any) -> Any:
            context = spans.SpanContext(trace_id, span_id, is_remote=False)
            span = spans.NonRecordingSpan(context)
            if parent is not None:
                span.parent = parent

            def entered() -> Any:
                with spans.use_span(span):
                    return call()

            return contextvars.copy_context().run(entered)

        return run

    def test_the_span_comes_first(self, inside: Any) -> None:
        with use_trace(OURS):
            got = inside(0xABC, 0xDEF, None, current_trace)
        assert got == Trace(f"{0xABC:032x}", f"{0xDEF:016x}")

    def test_its_parent_is_told(self, spans: Any, inside: Any) -> None:
        parent = spans.SpanContext(0xABC, 0x123, is_remote=False)
        got = inside(0xABC, 0xDEF, parent, current_trace)
        assert got == Trace(f"{0xABC:032x}", f"{0xDEF:016x}", f"{0x123:016x}")

    @pytest.mark.case("TRC-03")
    def test_a_job_is_in_its_producers_span_not_in_the_workers(
        self, spans: Any, inside: Any
    ) -> None:
        def handler() -> tuple[Trace | None, Any]:
            enter_trace(OURS)
            return current_trace(), spans.get_current_span().get_span_context()

        seen, span = inside(0xABC, 0xDEF, None, handler)
        assert seen == OURS
        assert (span.trace_id, span.span_id) == (int("a" * 32, 16), int("b" * 16, 16))

    def test_a_span_that_a_handler_opens_comes_first(self, spans: Any, inside: Any) -> None:
        def handler() -> Trace | None:
            enter_trace(OURS)
            own = spans.NonRecordingSpan(spans.SpanContext(0x1, 0x2, is_remote=False))
            with spans.use_span(own):
                return current_trace()

        assert inside(0xABC, 0xDEF, None, handler) == Trace(f"{1:032x}", f"{2:016x}")

    def test_ids_of_another_kind_are_kept_from_the_workers_span(self, inside: Any) -> None:
        foreign = Trace("request 5", "step 2")

        def handler() -> Trace | None:
            enter_trace(foreign)
            return current_trace()

        assert inside(0xABC, 0xDEF, None, handler) == foreign

    def test_no_valid_span_leaves_it_to_us(self, inside: Any) -> None:
        with use_trace(OURS):
            assert inside(0, 0, None, current_trace) == OURS
        assert inside(0, 0, None, current_trace) is None

    def test_it_need_not_be_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        with use_trace(OURS):
            assert current_trace() == OURS
