"""Job classes made from functions."""

from __future__ import annotations

import inspect
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    Unpack,
    cast,
    overload,
)

import msgspec

from asyncqueue.errors import PayloadError
from asyncqueue.hints import alternatives, hints_of
from asyncqueue.job import Job, JobMeta, refuse_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from asyncqueue.context import Context
    from asyncqueue.options import JobKeywords

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

if TYPE_CHECKING:

    class FunctionJob(Job, Generic[R_co]):
        """A job of a function; ``R_co`` is what the function returns."""

        async def handle(self, ctx: Context) -> R_co:
            """Call the function with the job's fields."""
            ...

    class JobFunction(Protocol[P, R_co]):
        """A job class called like its function, but for the context."""

        __job_name__: str

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> FunctionJob[R_co]:
            """Build the job."""
            ...


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> JobFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> JobFunction[P, R]: ...
    def __call__(self, function: Any, /) -> Any: ...


@overload
def job(
    function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
) -> JobFunction[P, R]: ...
@overload
def job(function: Callable[Concatenate[Context, P], R], /) -> JobFunction[P, R]: ...
@overload
def job(**keywords: Unpack[JobKeywords]) -> _Decorator: ...
def job(function: Any = None, /, **keywords: Any) -> Any:
    """Make a job class from ``async def function(ctx, …)``; keywords as for :class:`Job`.

    The parameters after the context are the job's fields; those of a type that cannot be
    stored are services, injected when it runs. The kind is the function's name unless
    ``name`` is given. A plain function runs in a thread.
    """

    def decorate(decorated: Any) -> Any:
        return _job_class(decorated, dict(keywords))

    return decorate if function is None else decorate(function)


def _job_class(function: Any, keywords: dict[str, Any]) -> Any:
    if not inspect.isfunction(function):
        raise TypeError(f"@job makes a job of a function, got {function!r}")
    if function.__name__ == "<lambda>" and "name" not in keywords:
        raise TypeError("@job needs a function with a name, or name=...; got a lambda")
    refuse_generator(function.__qualname__, function)
    parameters = list(inspect.signature(function).parameters.values())
    hints = hints_of(function)
    takes_context = bool(parameters) and _is_context(parameters[0], hints)
    fields, services = _split(function, parameters[takes_context:], hints)
    by_position = [field for field in fields if field.kind is not field.KEYWORD_ONLY]
    by_keyword = [field for field in fields if field.kind is field.KEYWORD_ONLY]
    bases: tuple[Any, ...] = (Job,)
    if by_position and by_keyword:
        # msgspec makes the fields of a class keyword-only all together: these get their own.
        positional = _namespace(by_position, hints, function.__module__)
        bases = (Job, msgspec.StructMeta(function.__name__, (msgspec.Struct,), positional))
    namespace = {
        **_namespace(by_keyword or by_position, hints, function.__module__),
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
        "__job_site__": (
            function.__code__.co_filename,
            function.__code__.co_firstlineno,
            function.__qualname__,
        ),
        "handle": _handler(function, fields, services, hints, takes_context=takes_context),
    }
    keywords.setdefault("name", function.__name__)
    keywords.setdefault("kw_only", bool(by_keyword))
    cls: Any = JobMeta(function.__name__, bases, namespace, **keywords)
    cls.__wrapped__ = function
    return cls


def _namespace(
    fields: list[inspect.Parameter], hints: dict[str, Any], module: str
) -> dict[str, Any]:
    """The annotations and defaults of these fields, as in the body of a class."""
    defaults = {
        field.name: _default(field.default) for field in fields if field.default is not field.empty
    }
    annotations = {field.name: hints[field.name] for field in fields}
    return {"__module__": module, "__annotations__": annotations, **defaults}


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    hint = hints.get(parameter.name, "")
    type_name = getattr(hint, "__name__", str(hint).rpartition(".")[2])
    return type_name == "Context" or parameter.name in ("ctx", "context", "_")


def _split(
    function: Any, parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> tuple[list[inspect.Parameter], list[inspect.Parameter]]:
    fields: list[inspect.Parameter] = []
    services: list[inspect.Parameter] = []
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise PayloadError(
                f"{function.__qualname__}: {parameter} cannot be a job's field; name each one."
            )
        service = _is_service(hints.setdefault(parameter.name, Any))
        if service and parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(
                f"{function.__qualname__}: the service {parameter.name} is given by name; "
                "it cannot be positional-only."
            )
        (services if service else fields).append(parameter)
    return fields, services


def _is_service(hint: Any) -> bool:
    return all(_is_custom(member) for member in alternatives(hint))


def _is_custom(hint: Any) -> bool:
    if isinstance(hint, str):
        return False
    try:
        return isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
    except (TypeError, NameError):
        return False  # A field: its class says what is wrong with it.


def _default(value: Any) -> Any:
    if isinstance(value, (list, dict, set, bytearray)):
        return msgspec.field(default_factory=cast("Any", value).copy)
    return value


def _handler(
    function: Any,
    fields: list[inspect.Parameter],
    services: list[inspect.Parameter],
    hints: dict[str, Any],
    *,
    takes_context: bool,
) -> Any:
    leading = tuple(field.name for field in fields if field.kind is field.POSITIONAL_ONLY)
    names = tuple(field.name for field in fields if field.name not in leading)

    def arguments(
        self: Any, ctx: Any, injected: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        positional = [getattr(self, name) for name in leading]
        values = {name: getattr(self, name) for name in names}
        return [ctx, *positional] if takes_context else positional, values | injected

    async def call(self: Any, ctx: Any, **injected: Any) -> Any:
        args, kwargs = arguments(self, ctx, injected)
        return await function(*args, **kwargs)

    def call_plain(self: Any, ctx: Any, **injected: Any) -> Any:
        args, kwargs = arguments(self, ctx, injected)
        return function(*args, **kwargs)

    handle: Any = call if inspect.iscoroutinefunction(function) else call_plain
    handle.__name__ = "handle"
    handle.__signature__ = inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in services),
        ]
    )
    handle.__annotations__ = {p.name: hints[p.name] for p in services} | {
        "return": hints.get("return", Any)
    }
    return handle
