"""Services: found by type and name, entered once, injected."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest

from asyncqueue.errors import ConfigError
from asyncqueue.services import Services, inject, injected_parameters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nowhere import Absent

    from asyncqueue.context import Context


class Mailer:
    """A service."""


class FastMailer(Mailer):
    """One that is a mailer, too."""


class Clock:
    """Another service."""


class Falsy:
    """A service that is empty, and still one."""

    def __len__(self) -> int:
        return 0


class Sends(Protocol):
    """What can be asked for without being a registered class."""


class Pool:
    """A service that is entered and left."""

    def __init__(self, log: list[str], name: str = "pool") -> None:
        self.log = log
        self.name = name

    async def __aenter__(self) -> Self:
        self.log.append(f"enter {self.name}")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.log.append(f"leave {self.name}")


async def entered(*given: Any) -> Services:
    services = Services(*given)
    await services.enter()
    return services


class TestLookUp:
    @pytest.mark.case("DEP-02")
    async def test_a_list_is_found_by_type(self) -> None:
        mailer, clock = Mailer(), Clock()
        services = await entered([mailer, clock])
        assert services.get(Mailer) is mailer
        assert services.get(Clock) is clock

    @pytest.mark.case("DEP-04")
    async def test_a_dict_is_found_by_name_and_by_type(self) -> None:
        mailer = Mailer()
        services = await entered({"orderService": mailer})
        assert services.get("orderService") is mailer
        assert services.get(Mailer) is mailer

    async def test_a_base_class_finds_its_subclass(self) -> None:
        fast = FastMailer()
        services = await entered([fast])
        assert services.get(Mailer) is fast
        exact = Mailer()
        assert (await entered([fast, exact])).get(Mailer) is exact

    async def test_several_groups(self) -> None:
        """The worker's services are added to the queue's, and win."""
        ours, theirs = Mailer(), Mailer()
        services = await entered([ours, Clock()], None, {"mailer": theirs})
        assert services.get(Mailer) is theirs
        assert isinstance(services.get(Clock), Clock)

    async def test_an_empty_service_is_a_service(self) -> None:
        falsy = Falsy()
        services = await entered({"falsy": falsy, "zero": 0})
        assert services.get(Falsy) is falsy
        assert services.get("falsy") is falsy
        assert services.get("zero") == 0

    @pytest.mark.case("DEP-05")
    @pytest.mark.parametrize(("wanted", "name"), [(Clock, "Clock"), ("mialer", "mialer")])
    async def test_a_missing_one_is_named(self, wanted: Any, name: str) -> None:
        services = await entered({"mailer": Mailer()})
        with pytest.raises(ConfigError) as caught:
            services.get(wanted)
        message = str(caught.value)
        assert f'No service "{name}" is registered.' in message
        assert "Known: Mailer, mailer." in message
        assert "services=" in message

    async def test_a_near_miss_is_suggested(self) -> None:
        services = await entered({"mailer": Mailer()})
        with pytest.raises(ConfigError, match='Did you mean "mailer"'):
            services.get("mialer")

    async def test_what_is_no_class_is_missing_too(self) -> None:
        services = await entered([Mailer()])
        for wanted in (Mailer | None, list[Mailer], 5):
            with pytest.raises(ConfigError, match="No service"):
                services.get(wanted)

    async def test_a_protocol_that_cannot_be_checked_is_missing(self) -> None:
        services = await entered([Mailer()])
        with pytest.raises(ConfigError, match='No service "Sends"'):
            services.get(Sends)


class TestLifetime:
    async def test_entered_once_in_order_and_left_in_reverse(self) -> None:
        """Whatever happens in between, they are left."""
        log: list[str] = []
        one, two = Pool(log, "one"), Pool(log, "two")
        services = await entered({"one": one, "two": two})
        assert log == ["enter one", "enter two"]
        assert services.get("one") is one
        await services.leave()
        assert log == ["enter one", "enter two", "leave two", "leave one"]
        with pytest.raises(ConfigError):
            services.get("one")

    async def test_what_a_manager_gives_is_the_service(self) -> None:
        log: list[str] = []

        @asynccontextmanager
        async def mailer() -> AsyncIterator[Mailer]:
            log.append("enter")
            yield FastMailer()
            log.append("leave")

        for given in (mailer, mailer()):
            log.clear()
            services = await entered({"mailer": given})
            assert isinstance(services.get("mailer"), FastMailer)
            assert services.get(Mailer) is services.get("mailer")
            await services.leave()
            assert log == ["enter", "leave"]

    async def test_a_manager_that_gives_another_object_is_found_by_its_own_type(self) -> None:
        class Opening:
            async def __aenter__(self) -> Mailer:
                return Mailer()

            async def __aexit__(self, *exc_info: object) -> None: ...

        services = await entered([Opening()])
        assert isinstance(services.get(Mailer), Mailer)
        assert services.get(Opening) is services.get(Mailer)

    async def test_a_function_is_made_anew_each_time(self) -> None:
        """A stopped worker can be started again."""
        made: list[Mailer] = []

        @asynccontextmanager
        async def mailer() -> AsyncIterator[Mailer]:
            made.append(Mailer())
            yield made[-1]

        services = Services([mailer])
        for _ in range(2):
            await services.enter()
            assert services.get(Mailer) is made[-1]
            await services.leave()
        assert len(made) == 2

    async def test_one_that_fails_to_enter_leaves_the_others(self) -> None:
        log: list[str] = []

        class Broken:
            async def __aenter__(self) -> None:
                raise OSError("no route")

            async def __aexit__(self, *exc_info: object) -> None: ...

        services = Services([Pool(log), Broken()])
        with pytest.raises(OSError, match="no route"):
            await services.enter()
        await services.leave()
        assert log == ["enter pool", "leave pool"]


class TestInjection:
    async def arguments(self, handle: Any, *given: Any) -> dict[str, Any]:
        return inject(injected_parameters(handle), await entered(*given))

    @pytest.mark.case("DEP-08")
    async def test_by_annotation(self) -> None:
        def handle(self: Any, ctx: Context, mailer: Mailer, *, clock: Clock) -> None: ...

        mailer, clock = FastMailer(), Clock()
        assert await self.arguments(handle, [mailer, clock]) == {"mailer": mailer, "clock": clock}

    async def test_by_name_where_there_is_no_annotation(self) -> None:
        def handle(self: Any, ctx: Any, mailer, limit: int) -> None: ...

        mailer = Mailer()
        given = {"mailer": mailer, "limit": 0}
        assert await self.arguments(handle, given) == given

    async def test_by_the_bare_name_of_a_class_that_is_only_imported_for_checkers(self) -> None:
        def handle(self: Any, ctx: Any, mailer: Mailer, other: Absent) -> None: ...

        class Absent:
            pass

        mailer, absent = Mailer(), Absent()
        assert await self.arguments(handle, [mailer, absent]) == {"mailer": mailer, "other": absent}

    async def test_nothing_but_self_and_context(self) -> None:
        def handle(self: Any, ctx: Any) -> None: ...

        assert injected_parameters(handle) == ()

    async def test_variadic_parameters_are_left_alone(self) -> None:
        def handle(self: Any, ctx: Any, *args: Any, **kwargs: Any) -> None: ...

        assert injected_parameters(handle) == ()

    async def test_a_missing_one_with_a_default_is_left_out(self) -> None:
        def handle(self: Any, ctx: Any, mailer: Mailer | None = None, clock: Clock = 5) -> None: ...

        assert await self.arguments(handle) == {}

    async def test_a_union_with_none_is_found_by_its_class(self) -> None:
        def handle(self: Any, ctx: Any, sender: Mailer | None = None) -> None: ...

        mailer = Mailer()
        assert await self.arguments(handle, [mailer]) == {"sender": mailer}

    @pytest.mark.case("DEP-05")
    @pytest.mark.parametrize("by", ["type", "name", "text"])
    async def test_a_missing_one_is_named(self, by: str) -> None:
        def by_type(self: Any, ctx: Any, mailer: Mailer) -> None: ...
        def by_name(self: Any, ctx: Any, mailer) -> None: ...
        def by_text(self: Any, ctx: Any, mailer: Absent) -> None: ...

        handle = {"type": by_type, "name": by_name, "text": by_text}[by]
        with pytest.raises(ConfigError, match="(?i)no service .?(mailer|absent)"):
            await self.arguments(handle, [Clock()])

    def test_managers_are_what_they_look_like(self) -> None:
        assert issubclass(Pool, AbstractAsyncContextManager)
