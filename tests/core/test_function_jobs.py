"""Jobs made from functions (contract section 1)."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Literal

import pytest

from asyncqueue import codec
from asyncqueue.errors import DuplicateJob, PayloadError
from asyncqueue.function import job
from asyncqueue.job import Job
from asyncqueue.services import injected_parameters

if TYPE_CHECKING:
    from nowhere import Absent

    from asyncqueue.context import Context
    from asyncqueue.registry import Registry

pytestmark = pytest.mark.usefixtures("own_registry")


class Mailer:
    """A service: nothing that can be stored."""


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

    @pytest.mark.case("DEP-08", "REG-04")
    def test_parameters_that_cannot_be_stored_are_services(self) -> None:
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
        async def send(ctx: Context, mailer: Mailer = none, other: Mailer | None = None) -> Any:
            return mailer, other

        cls: Any = send
        assert cls.__struct_fields__ == ()
        assert [p.default for p in injected_parameters(cls.handle)] == [none, None]
        assert asyncio.run(cls().handle(None)) == (none, None)

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

    def test_a_generator_is_refused(self) -> None:
        async def steps(ctx: Context) -> Any:
            yield ctx

        with pytest.raises(TypeError, match="steps contains yield"):
            job(steps)

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

    @pytest.mark.case("REG-12")
    def test_the_same_function_again_is_a_reload_another_is_not(self) -> None:
        def make() -> Any:
            async def send(ctx: Context) -> None: ...

            return send

        job(make())
        job(make())

        async def send(ctx: Context) -> None: ...

        with pytest.raises(DuplicateJob):
            job(send)
