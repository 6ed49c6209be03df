"""Job classes: keywords, names, fields, and jobs made from functions (contract section 1)."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec
import pytest

from asyncqueue import codec
from asyncqueue.backoff import exponential, fixed, from_list
from asyncqueue.errors import DuplicateJob, PayloadError
from asyncqueue.function import job
from asyncqueue.job import Job, JobMeta
from asyncqueue.options import JobOptions, Priority
from asyncqueue.registry import Registry
from asyncqueue.services import injected_parameters

if TYPE_CHECKING:
    from nowhere import Absent  # noqa: TC004 - that it is missing at run time is the case

    from asyncqueue.context import Context


class Mailer:
    """A service: nothing that can be stored."""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """What a test defines is forgotten after it."""
    registry = Registry()
    # By name: the attribute `job` of the package is the decorator.
    monkeypatch.setattr(import_module("asyncqueue.job"), "default_registry", registry)
    return registry


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
        }

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
        ],
    )
    def test_each_one(self, keyword: str, given: Any, kept: Any) -> None:
        """RTY-06, RTY-09, RTY-18, DSP-23: in seconds, checked at definition."""
        expected = msgspec.structs.replace(JobOptions(), **{keyword: kept})
        assert options(**{keyword: given}) == expected

    def test_every_keyword_is_covered_above(self) -> None:
        mark = next(m for m in type(self).test_each_one.pytestmark if m.name == "parametrize")
        assert {row[0] for row in mark.args[1]} == set(JobOptions.__struct_fields__)

    def test_max_retries_are_extra_runs(self) -> None:
        """D-01: n means n + 1 attempts."""
        assert options(max_retries=2).max_attempts == 3
        assert options(max_retries=0).max_attempts == 1
        assert options(max_retries=None).max_attempts is None

    def test_priorities_have_names(self) -> None:
        assert (Priority.LOW, Priority.NORMAL, Priority.HIGH) == (0, 1, 10)

    @pytest.mark.parametrize(
        ("keyword", "given", "error"),
        [
            ("queue", 5, TypeError),
            ("max_attempts", -1, ValueError),
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
        """RTY-18: each message names the keyword and what was given."""
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

    @pytest.mark.parametrize(
        "kind",
        [
            Mailer,
            list[Mailer],
            dict[str, Mailer | None],
            complex,
            type,
            object,
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
        """DSP-14, REG-04."""
        with pytest.raises(PayloadError, match="Defined"):
            define(fields={"good": int, "bad": kind})
        assert len(own_registry) == 0

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


class TestNames:
    def test_a_class_goes_by_its_bare_name(self, own_registry: Registry) -> None:
        """REG-02, REG-05."""

        class SendWelcome(Job):
            pass

        assert SendWelcome.__job_name__ == "SendWelcome"
        assert own_registry.get("SendWelcome") is SendWelcome

    def test_a_chosen_name(self, own_registry: Registry) -> None:
        """REG-08: it survives renaming the class."""
        define("Old", name="send")
        own_registry.clear()
        renamed = define("New", name="send")
        assert own_registry.get("send") is renamed
        assert own_registry.get("New") is None

    def test_another_class_under_a_taken_name_is_refused(self, own_registry: Registry) -> None:
        """REG-09, REG-12, D-44."""

        class Twice(Job):
            pass

        first = Twice
        with pytest.raises(DuplicateJob, match='"Twice" is taken by .*Twice.*replace=True'):

            class Twice(Job):
                pass

        assert own_registry.get("Twice") is first

    def test_replace_takes_over(self, own_registry: Registry) -> None:
        """REG-12."""

        class Twice(Job):
            pass

        class Twice(Job, replace=True):  # noqa: F811
            pass

        assert own_registry.get("Twice") is Twice

    def test_the_same_statement_again_is_a_reload(self, own_registry: Registry) -> None:
        """REG-12: a module that is loaded again replaces its own classes."""
        source = compile("class Again(Job):\n    pass\n", "jobs.py", "exec")
        first: dict[str, Any] = {"Job": Job, "__name__": "jobs"}
        second = dict(first)
        exec(source, first)
        exec(source, second)
        assert own_registry.get("Again") is second["Again"] is not first["Again"]

    def test_another_file_is_no_reload(self) -> None:
        names: dict[str, Any] = {"Job": Job, "__name__": "jobs"}
        exec(compile("class Again(Job):\n    pass\n", "jobs.py", "exec"), names)
        with pytest.raises(DuplicateJob):
            exec(compile("class Again(Job):\n    pass\n", "others.py", "exec"), names)


class Tree(Job):
    """A job that contains jobs of its own class."""

    children: list[Tree]


class TestFunctions:
    def test_the_parameters_after_the_context_are_fields(self, own_registry: Registry) -> None:
        @job(queue="emails", name="send_welcome_email", max_attempts=5)
        async def send(ctx: Context, user_id: int, email: str = "", tags: list[str] = []) -> str:  # noqa: B006
            """Send it."""
            return f"{ctx} {user_id} {email} {tags}"

        assert own_registry.get("send_welcome_email") is send
        made: Any = send(1, email="a@b")
        assert isinstance(made, Job)
        assert (made.user_id, made.email, made.tags) == (1, "a@b", [])
        assert made.tags is not send(1).tags
        options = send.__job_options__
        assert (options.queue, options.max_attempts) == ("emails", 5)
        assert send.__doc__ == "Send it."
        assert asyncio.run(made.handle("ctx")) == "ctx 1 a@b []"

    def test_without_keywords_it_goes_by_the_functions_name(self, own_registry: Registry) -> None:
        @job
        async def send(ctx: Context) -> None: ...

        assert list(own_registry) == ["send"]
        assert own_registry.get("send") is send

    def test_keyword_only_parameters_stay_keyword_only(self) -> None:
        @job
        async def send(ctx: Context, a: int, b: int = 2, *, c: int, d: int = 4) -> Any:
            return a, b, c, d

        made: Any = send(1, c=3)
        assert (made.a, made.b, made.c, made.d) == (1, 2, 3, 4)
        assert asyncio.run(made.handle(None)) == (1, 2, 3, 4)
        assert made == send(a=1, b=2, c=3, d=4)
        with pytest.raises(TypeError):
            send(1, 2, 3)
        with pytest.raises(TypeError):
            send(1)
        stored = codec.encode(made, 1000)
        maker: Any = send
        envelope = codec.open_envelope("send", stored)
        assert codec.shape_of(maker).decoder.decode(envelope.data) == made

    def test_only_keyword_only_parameters(self) -> None:
        @job
        async def send(ctx: Context, *, a: int) -> int:
            return a

        assert asyncio.run(send(a=5).handle(None)) == 5
        with pytest.raises(TypeError):
            send(5)

    def test_positional_only_parameters_reach_the_function(self) -> None:
        @job
        async def send(ctx: Context, a: int, /, b: int = 2) -> Any:
            return a, b

        assert asyncio.run(send(1).handle(None)) == (1, 2)

    def test_a_plain_function_stays_plain(self) -> None:
        """It runs in a thread, which the worker decides by asking this."""

        @job
        def send(ctx: Context, a: int) -> int:
            return a

        made: Any = send(3)
        assert not inspect.iscoroutinefunction(made.handle)
        assert made.handle(None) == 3

    def test_the_context_may_be_left_out(self) -> None:
        def send(a: int) -> int:
            return a

        made = job(send)
        assert made(3).handle("ctx") == 3

    def test_parameters_that_cannot_be_stored_are_services(self) -> None:
        """DEP-08, REG-04."""

        @job
        async def send(ctx: Context, user_id: int, mailer: Mailer, retries: int = 3) -> Any:
            return user_id, mailer, retries

        cls: Any = send
        assert cls.__struct_fields__ == ("user_id", "retries")
        parameters = injected_parameters(cls.handle)
        assert [(p.name, p.annotation) for p in parameters] == [("mailer", Mailer)]
        mailer = Mailer()
        assert asyncio.run(cls(1).handle(None, mailer=mailer)) == (1, mailer, 3)

    def test_a_service_with_a_default_may_be_missing(self) -> None:
        none = Mailer()

        @job
        async def send(ctx: Context, mailer: Mailer = none) -> Any:
            return mailer

        cls: Any = send
        assert cls.__struct_fields__ == ()
        assert injected_parameters(cls.handle)[0].default is none
        assert asyncio.run(cls().handle(None)) is none

    def test_what_is_only_imported_for_checkers_spoils_nothing_else(self) -> None:
        @job
        async def send(ctx: Context, user_id: int, mailer: Mailer) -> Absent: ...

        cls: Any = send
        assert cls.__struct_fields__ == ("user_id",)
        assert codec.encode(cls(1), 1000)
        with pytest.raises(PayloadError, match="user_id"):
            codec.encode(cls("one"), 1000)

    def test_one_decorator_serves_several_functions(self, own_registry: Registry) -> None:
        on_emails = job(queue="emails")

        @on_emails
        async def first(ctx: Context) -> None: ...

        @on_emails
        async def second(ctx: Context, *, a: int) -> None: ...

        @on_emails
        async def third(ctx: Context, a: int) -> None: ...

        assert list(own_registry) == ["first", "second", "third"]
        assert third(1) == third(a=1)

    @pytest.mark.parametrize("function", [Mailer, 5, len, "send"])
    def test_it_needs_a_function(self, function: Any) -> None:
        with pytest.raises(TypeError, match="makes a job of a function"):
            job(function)

    def test_a_lambda_needs_a_name(self, own_registry: Registry) -> None:
        with pytest.raises(TypeError, match="lambda"):
            job(lambda ctx: None)
        job(name="nothing")(lambda ctx: None)
        assert list(own_registry) == ["nothing"]

    def test_variadic_parameters_are_refused(self) -> None:
        def many(ctx: Context, *args: int) -> None: ...
        def named(ctx: Context, **kwargs: int) -> None: ...

        with pytest.raises(PayloadError, match=r"many: \*args"):
            job(many)
        with pytest.raises(PayloadError, match=r"named: \*\*kwargs"):
            job(named)

    def test_types_that_are_none_are_refused(self) -> None:
        def send(ctx: Context, a: Literal[1.5]) -> None: ...

        with pytest.raises(PayloadError, match="send"):
            job(send)

    def test_positional_only_services_are_refused(self) -> None:
        def send(ctx: Context, mailer: Mailer, /) -> None: ...

        with pytest.raises(TypeError, match="mailer"):
            job(send)

    def test_a_reserved_name_is_refused(self) -> None:
        def send(ctx: Context, handle: int) -> None: ...

        with pytest.raises(PayloadError, match="handle"):
            job(send)

    def test_the_same_function_again_is_a_reload_another_is_not(self) -> None:
        """REG-12."""

        def make() -> Any:
            async def send(ctx: Context) -> None: ...

            return send

        job(make())
        job(make())

        async def send(ctx: Context) -> None: ...

        with pytest.raises(DuplicateJob):
            job(send)
