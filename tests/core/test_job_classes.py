"""Job classes: keywords, names, fields, and jobs made from functions (contract section 1)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec
import pytest

from asyncqueue import codec
from asyncqueue.backoff import exponential, fixed, from_list
from asyncqueue.errors import PayloadError
from asyncqueue.job import Job, JobMeta
from asyncqueue.limits import Limit
from asyncqueue.options import JobOptions, Priority

if TYPE_CHECKING:
    from nowhere import Absent  # noqa: TC004 - that it is missing at run time is the case

    from asyncqueue.context import Context
    from asyncqueue.registry import Registry


pytestmark = pytest.mark.usefixtures("own_registry")
LIMIT = Limit("stripe", concurrency=5)


class Mailer:
    """A service: nothing that can be stored."""


def define(
    class_name: str = "Defined", /, fields: dict[str, Any] | None = None, **keywords: Any
) -> Any:
    """A class statement with these annotations and keywords."""
    return JobMeta(class_name, (Job,), {"__annotations__": fields or {}}, **keywords)


def options(**keywords: Any) -> JobOptions:
    return define(**keywords).__job_options__


def own_backoff(job: Any, attempt: int, error: Exception) -> float:
    return 1.0


def by_job(job: Any) -> Any:
    return "x"


async def middleware(ctx: Any, call_next: Any) -> Any:
    return await call_next()


async def yields_later(self: Any, ctx: Any) -> Any:
    yield self, ctx


def yields(self: Any, ctx: Any) -> Any:
    yield self, ctx


async def answers_later(self: Any, error: Any) -> bool:
    return bool(self and error)


class TestKeywords:
    def test_defaults(self) -> None:
        assert options() == JobOptions()
        assert msgspec.structs.asdict(JobOptions()) == {
            "queue": None,
            "max_attempts": None,
            "timeout": None,
            "backoff": None,
            "priority": None,
            "delay": 0.0,
            "retry_until": None,
            "max_exceptions": None,
            "fail_on_timeout": False,
            "unique": False,
            "unique_for": None,
            "unique_until": "finished",
            "retention": None,
            "middleware": (),
            "limit": (),
            "fair_by": None,
        }

    @pytest.mark.case("RTY-06", "RTY-09", "RTY-18", "DSP-23")
    @pytest.mark.parametrize(
        ("keyword", "given", "kept"),
        [
            ("queue", "emails", "emails"),
            ("queue", "", None),
            ("queue", by_job, by_job),
            ("max_attempts", 5, 5),
            ("max_attempts", 1, 1),
            ("max_attempts", 0, 1),
            ("max_attempts", None, None),
            ("timeout", 45, 45.0),
            ("timeout", timedelta(minutes=1), 60.0),
            ("timeout", math.inf, math.inf),
            ("timeout", None, None),
            ("backoff", 7, fixed(7)),
            ("backoff", [1, 5, 30], from_list([1, 5, 30])),
            ("backoff", [], None),
            ("backoff", exponential(2), exponential(2)),
            ("backoff", own_backoff, own_backoff),
            ("backoff", timedelta(seconds=7), fixed(7)),
            ("priority", 10, 10),
            ("priority", Priority.LOW, 0),
            ("priority", -32768, -32768),
            ("priority", 32767, 32767),
            ("priority", by_job, by_job),
            ("delay", 10, 10.0),
            ("delay", timedelta(hours=1), 3600.0),
            ("delay", by_job, by_job),
            ("retry_until", 60, 60.0),
            ("retry_until", math.inf, None),
            ("max_exceptions", 2, 2),
            ("fail_on_timeout", True, True),
            ("unique", True, True),
            ("unique", by_job, by_job),
            ("unique_for", timedelta(minutes=1), 60.0),
            ("unique_until", "processing", "processing"),
            ("retention", 0, 0.0),
            ("retention", timedelta(days=1), 86400.0),
            ("middleware", [middleware], (middleware,)),
            ("limit", LIMIT, (LIMIT,)),
            ("limit", [LIMIT], (LIMIT,)),
            ("fair_by", "tenant", "tenant"),
            ("fair_by", by_job, by_job),
        ],
    )
    def test_each_one(self, keyword: str, given: Any, kept: Any) -> None:
        """In seconds, checked at definition."""
        expected = msgspec.structs.replace(JobOptions(), **{keyword: kept})
        assert options(**{keyword: given}) == expected

    def test_every_keyword_is_covered_above(self) -> None:
        mark = next(m for m in type(self).test_each_one.pytestmark if m.name == "parametrize")
        assert {row[0] for row in mark.args[1]} == set(JobOptions.__struct_fields__)

    def test_max_retries_are_extra_runs(self) -> None:
        """N means n + 1 attempts."""
        assert options(max_retries=2).max_attempts == 3
        assert options(max_retries=0).max_attempts == 1
        assert options(max_retries=sys.maxsize).max_attempts == sys.maxsize
        assert options(max_retries=None).max_attempts is None

    def test_priorities_have_names(self) -> None:
        assert (Priority.LOW, Priority.NORMAL, Priority.HIGH) == (0, 1, 10)

    @pytest.mark.case("RTY-18")
    @pytest.mark.parametrize(
        ("keyword", "given", "error"),
        [
            ("queue", 5, TypeError),
            ("max_attempts", -1, ValueError),
            ("max_attempts", 2**63, ValueError),
            ("max_attempts", 2.0, TypeError),
            ("max_attempts", True, TypeError),
            ("max_retries", -1, ValueError),
            ("timeout", 0, ValueError),
            ("timeout", -5, ValueError),
            ("timeout", math.nan, ValueError),
            ("timeout", "45s", TypeError),
            ("backoff", -1, ValueError),
            ("backoff", "5s", TypeError),
            ("backoff", [1, math.inf], ValueError),
            ("priority", 32768, ValueError),
            ("priority", -32769, ValueError),
            ("priority", True, TypeError),
            ("priority", 1.5, TypeError),
            ("delay", math.inf, ValueError),
            ("delay", None, TypeError),
            ("retry_until", -1, ValueError),
            ("max_exceptions", 0, ValueError),
            ("max_exceptions", -1, ValueError),
            ("fail_on_timeout", 1, TypeError),
            ("unique", "key", TypeError),
            ("unique_for", -1, ValueError),
            ("unique_until", "done", ValueError),
            ("retention", math.inf, ValueError),
            ("retention", -1, ValueError),
            ("middleware", 5, TypeError),
            ("middleware", [5], TypeError),
            ("name", 5, TypeError),
            ("name", "", ValueError),
            ("name", "  ", ValueError),
        ],
    )
    def test_wrong_values_are_refused_at_definition(
        self,
        own_registry: Registry,
        keyword: str,
        given: Any,
        error: type[Exception],
    ) -> None:
        """Each message names the keyword and what was given."""
        with pytest.raises(error) as caught:
            define(**{keyword: given})
        assert keyword in str(caught.value)
        assert len(own_registry) == 0

    def test_attempts_and_retries_exclude_each_other(self) -> None:
        with pytest.raises(TypeError, match="not both"):
            define(max_attempts=3, max_retries=2)

    def test_an_unknown_keyword_is_refused_with_a_suggestion(self, own_registry: Registry) -> None:
        with pytest.raises(TypeError, match='Typo: no option "quue". Did you mean "queue"'):
            define("Typo", quue="emails")
        assert len(own_registry) == 0

    @pytest.mark.parametrize(
        ("name", "method", "message"),
        [
            ("handle", yields_later, "Unfit.handle contains yield"),
            ("handle", yields, "Unfit.handle contains yield"),
            ("should_retry", answers_later, "Unfit.should_retry must be a plain function"),
        ],
    )
    def test_methods_that_could_never_work_are_refused(
        self, name: str, method: Any, message: str
    ) -> None:
        with pytest.raises(TypeError, match=message):
            JobMeta("Unfit", (Job,), {name: method})

    def test_msgspecs_own_keywords_pass(self) -> None:
        class Point(Job, frozen=True, kw_only=True, order=True, omit_defaults=True, rename="camel"):
            first_x: int
            y: int = 0

        assert hash(Point(first_x=1))
        assert Point(first_x=1) < Point(first_x=2)
        assert Point.__struct_encode_fields__ == ("firstX", "y")
        with pytest.raises(TypeError):
            Point(1)


class TestInheritance:
    def test_options_are_inherited_and_overridden(self) -> None:
        class Base(Job, queue="emails", max_attempts=5, timeout=45, backoff=[1, 5]):
            pass

        class Same(Base):
            pass

        class Other(Base, queue="", max_retries=0, timeout=None, backoff=None, priority=2):
            pass

        assert Same.__job_options__ == Base.__job_options__
        assert Other.__job_options__ == JobOptions(max_attempts=1, priority=2)

    def test_names_are_not_inherited(self) -> None:
        class Base(Job, name="chosen"):
            pass

        class Child(Base):
            pass

        assert (Base.__job_name__, Child.__job_name__) == ("chosen", "Child")

    def test_fields_and_methods_are_inherited(self) -> None:
        class Base(Job):
            a: int

            def handle(self, ctx: Context) -> int:
                return self.a

        class Child(Base):
            b: int = 2

        assert Child(1) == Child(a=1, b=2)
        assert Child(1).handle(None) == 1

    def test_a_plain_mixin_may_stand_before(self) -> None:
        class Logged:
            pass

        class Mixed(Logged, Job, queue="q"):
            pass

        assert Mixed.__job_options__.queue == "q"


class TestFields:
    @pytest.mark.parametrize("name", ["handle", "failed", "should_retry"])
    def test_three_names_are_reserved(self, own_registry: Registry, name: str) -> None:
        with pytest.raises(PayloadError, match=f"field cannot be called {name}"):
            define(fields={name: int})
        assert len(own_registry) == 0

    def test_no_other_name_is_taken(self) -> None:
        names = [*JobOptions.__struct_fields__, "name", "replace", "id", "job_id", "options", "job"]
        cls = define(fields=dict.fromkeys(names, int), kw_only=True, queue="emails")
        made = cls(**{name: index for index, name in enumerate(names)})
        assert [getattr(made, name) for name in names] == list(range(len(names)))
        assert cls.__job_options__.queue == "emails"

    @pytest.mark.case("DSP-14", "REG-04")
    @pytest.mark.parametrize(
        "kind",
        [
            Mailer,
            list[Mailer],
            dict[str, Mailer | None],
            complex,
            type,
            Iterator[int],
            NoReturn,
            Literal[1.5],
            list[int] | tuple[int, ...],
            str | bytes,
        ],
    )
    def test_types_that_cannot_be_stored_fail_at_definition(
        self, own_registry: Registry, kind: Any
    ) -> None:
        with pytest.raises(PayloadError, match="Defined"):
            define(fields={"good": int, "bad": kind})
        assert len(own_registry) == 0

    @pytest.mark.case("DSP-14")
    @pytest.mark.parametrize("kind", [Any, object, list[object], dict[str, object | None]])
    def test_types_that_promise_nothing_wait_for_the_dispatch(
        self, own_registry: Registry, kind: Any
    ) -> None:
        define(fields={"anything": kind})
        assert len(own_registry) == 1

    def test_the_field_is_named_where_one_type_is_at_fault(self) -> None:
        with pytest.raises(PayloadError, match=r"Defined\.bad: a .*Mailer cannot be stored"):
            define(fields={"good": int, "bad": Mailer})

    def test_a_custom_type_deep_inside_is_found(self) -> None:
        @dataclass
        class Inner:
            mailers: list[Any]

        Inner.__annotations__["mailers"] = list[Mailer]
        with pytest.raises(PayloadError, match="Mailer"):
            define(fields={"bad": Inner})

    def test_a_job_may_contain_itself(self) -> None:
        sent = Tree([Tree([]), Tree([Tree([])])])
        envelope = codec.open_envelope("Tree", codec.encode(sent, 1000))
        assert codec.shape_of(Tree).decoder.decode(envelope.data) == sent

    def test_a_type_that_cannot_be_found_waits_for_the_dispatch(self) -> None:
        class Late(Job):
            absent: Absent

        with pytest.raises(PayloadError, match="Late: name 'Absent' is not defined"):
            codec.encode(Late(1), 1000)

    def test_unset_fields_are_allowed(self) -> None:
        cls = define(fields={"x": int | msgspec.UnsetType})
        assert cls(msgspec.UNSET).x is msgspec.UNSET


class Tree(Job):
    """A job that contains jobs of its own class."""

    children: list[Tree]
