"""Services that handlers ask for by type or by name, and how they are entered and left."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from asyncqueue.errors import ConfigError
from asyncqueue.hints import alternatives, hints_of
from asyncqueue.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def check_services(given: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
    """Raise ``TypeError`` for what is neither a list nor a dict of services."""
    if isinstance(given, (str, bytes, type)) or not isinstance(given, Iterable):
        raise TypeError(f"services must be a list or a dict of them, got {given!r}")
    return given


class Services:
    """Services of one worker. Build it, :meth:`enter` it, and ask.

    Given as a list they are found by type, as a dict by name as well. One that is an async
    context manager, or a function decorated with ``asynccontextmanager``, is entered once and
    stands for what it gives.
    """

    def __init__(self, *given: Sequence[Any] | Mapping[str, Any] | None) -> None:
        self._given = [check_services(group) for group in given if group is not None]
        self._stack = AsyncExitStack()
        self._by_name: dict[str, Any] = {}
        self._by_type: dict[type, Any] = {}

    async def enter(self) -> None:
        """Enter the context managers among them, in order; all or, where one raises, none."""
        try:
            for group in self._given:
                await self._enter_group(group)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Leave them in reverse order."""
        await self._stack.aclose()
        self._by_name.clear()
        self._by_type.clear()

    def get(self, wanted: Any) -> Any:
        """The service of this type (or of a subclass) or name.

        Raises :class:`~asyncqueue.errors.ConfigError` when there is none.
        """
        found = self.look_up(wanted)
        if found is None:
            name = str(getattr(wanted, "__qualname__", wanted))
            known = [*self._by_name, *(cls.__qualname__ for cls in self._by_type)]
            raise ConfigError(
                f'No service "{name}" is registered.{suggest(name, known)} '
                "Give it to Queue(services=...) or Worker(services=...)."
            )
        return found

    def look_up(self, wanted: Any) -> Any | None:
        """As :meth:`get`, but None when there is none."""
        if isinstance(wanted, str):
            return self._by_name.get(wanted)
        found = self._by_type.get(wanted)
        if found is None and isinstance(wanted, type):
            # A protocol that cannot be checked at run time is nobody's type.
            with contextlib.suppress(TypeError):
                return next(
                    (one for one in self._by_type.values() if isinstance(one, wanted)), None
                )
        return found

    def of_type_named(self, name: str) -> Any | None:
        """The service whose class has this bare name: for annotations that cannot be resolved."""
        for cls, service in self._by_type.items():
            if cls.__name__ == name:
                return service
        return None

    async def _enter_group(self, group: Sequence[Any] | Mapping[str, Any]) -> None:
        if isinstance(group, Mapping):
            for name, service in group.items():
                self._by_name[name] = await self._add(service)
        else:
            for service in group:
                await self._add(service)

    async def _add(self, given: Any) -> Any:
        service = given
        if inspect.isasyncgenfunction(getattr(given, "__wrapped__", None)):
            service = given()
        if hasattr(service, "__aenter__") and hasattr(service, "__aexit__"):
            manager, service = service, await self._stack.enter_async_context(service)
            self._by_type.setdefault(manager.__class__, service)
        if service is not None:
            self._by_type[type(service)] = service
        return service


def injected_parameters(handle: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """The parameters of ``handle`` after ``self`` and the context, annotations resolved."""
    parameters = list(inspect.signature(handle).parameters.values())[2:]
    if not parameters:
        return ()
    hints = hints_of(handle)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(
        parameter.replace(annotation=hints.get(parameter.name, parameter.annotation))
        for parameter in parameters
        if parameter.kind not in variadic
    )


def inject(parameters: tuple[inspect.Parameter, ...], services: Services) -> dict[str, Any]:
    """The arguments for these parameters, by type, then by name.

    Raises :class:`~asyncqueue.errors.ConfigError` when one without a default is missing.
    """
    arguments: dict[str, Any] = {}
    for parameter in parameters:
        service = _find(parameter, services)
        if service is not None:
            arguments[parameter.name] = service
        elif parameter.default is parameter.empty:
            hint = parameter.annotation
            by_type = isinstance(hint, type) and hint is not parameter.empty
            services.get(hint if by_type else parameter.name)
    return arguments


def _find(parameter: inspect.Parameter, services: Services) -> Any | None:
    for hint in alternatives(parameter.annotation):
        service = (
            services.of_type_named(hint.rpartition(".")[2])
            if isinstance(hint, str)
            else services.look_up(hint)
        )
        if service is not None:
            return service
    return services.look_up(parameter.name)
