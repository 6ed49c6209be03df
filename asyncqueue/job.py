"""Jobs: typed data with a ``handle`` method, and options as class keywords."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypedDict, Unpack, dataclass_transform

import msgspec

from asyncqueue.errors import PayloadError
from asyncqueue.options import NAMES, JobKeywords, JobOptions, merge_options
from asyncqueue.registry import default_registry, fold, register_own, suggest
from asyncqueue.roundtrip import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

RESERVED: Final = frozenset({"handle", "failed", "should_retry"})
_STRUCT_KEYWORDS: Final = frozenset(inspect.signature(msgspec.defstruct).parameters) - {
    "name",
    "fields",
    "bases",
    "module",
    "namespace",
}


def _refuse_unknown_keywords(class_name: str, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword not in _STRUCT_KEYWORDS:
            known = NAMES | _STRUCT_KEYWORDS | {"name", "replace"}
            raise TypeError(f'{class_name}: no option "{keyword}".{suggest(keyword, known)}')


def _refuse_reserved_fields(cls: Any) -> None:
    taken = RESERVED.intersection(cls.__struct_fields__)
    if taken:
        raise PayloadError(
            f"{cls.__name__}: a field cannot be called {', '.join(sorted(taken))}; "
            f"{', '.join(sorted(RESERVED))} are the methods of a job. Rename the field."
        )


def refuse_generator(name: str, function: Any) -> None:
    """Raise ``TypeError`` for a handler that would never run: calling a generator runs nothing."""
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError(f"{name} contains yield, so calling it runs nothing; return the result.")


def _refuse_unfit_methods(cls: Any) -> None:
    refuse_generator(f"{cls.__name__}.handle", getattr(cls, "handle", None))
    if inspect.iscoroutinefunction(getattr(cls, "should_retry", None)):
        raise TypeError(
            f"{cls.__name__}.should_retry must be a plain function: its answer is not awaited."
        )


def _refuse_unsupported_fields(cls: Any) -> None:
    try:
        fields = msgspec.structs.fields(cls)
        kinds = [(field.name, msgspec.inspect.type_info(field.type)) for field in fields]
    except NameError:
        return  # A forward reference: the first dispatch decides.
    except TypeError as error:
        raise PayloadError(f"{cls.__name__}: {error}; change the field's type.") from error
    for name, kind in kinds:
        custom = _custom_type(kind)
        if custom is not None:
            raise PayloadError(
                f"{cls.__name__}.{name}: a {custom.__module__}.{custom.__qualname__} cannot be "
                "stored. Store an id and look the object up in handle."
            )


def _custom_type(kind: Any, seen: frozenset[int] = frozenset()) -> Any | None:
    """The first type in this tree that msgspec cannot carry, if there is one."""
    if isinstance(kind, msgspec.inspect.CustomType):
        # `object` promises as little as `Any`: what it holds decides, at dispatch.
        return None if kind.cls in (msgspec.UnsetType, object) else kind.cls
    if id(kind) in seen or not isinstance(kind, (msgspec.inspect.Type, msgspec.inspect.Field)):
        return None
    deeper = seen | {id(kind)}
    found = (_custom_type(part, deeper) for part in parts_of(kind))
    return next((custom for custom in found if custom is not None), None)


def _site(qualname: str) -> tuple[str, int, str]:
    """Where the class statement stands: tells a reload from a second class of the same name."""
    frame = sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return frame.f_code.co_filename, frame.f_lineno, qualname


class JobMeta(msgspec.StructMeta):
    """Takes the options of a job as class keywords and registers the class.

    All other keywords (``frozen``, ``kw_only``, …) are msgspec's.
    """

    __job_options__: JobOptions
    __job_name__: str
    __job_site__: tuple[str, int, str]

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **keywords: Any,
    ) -> JobMeta:
        """Define a job class; see :class:`Job` for the keywords."""
        name = keywords.pop("name", None)
        replace = keywords.pop("replace", False)
        given = {key: keywords.pop(key) for key in tuple(keywords) if key in NAMES}
        _refuse_unknown_keywords(class_name, keywords)
        cls = super().__new__(mcls, class_name, bases, namespace, **keywords)
        _refuse_reserved_fields(cls)
        _refuse_unfit_methods(cls)
        inherited: JobOptions = getattr(cls, "__job_options__", JobOptions())
        cls.__job_options__ = merge_options(inherited, given)
        cls.__job_name__ = fold(class_name if name is None else name)
        cls.__job_site__ = namespace.get("__job_site__") or _site(cls.__qualname__)
        if bases and bases[0] is not msgspec.Struct:
            _refuse_unsupported_fields(cls)
            if not register_own(cls.__job_name__, cls):
                default_registry.register(cls.__job_name__, cls, replace=replace)
        return cls


if TYPE_CHECKING:
    # What checkers see: the class keywords, so that a wrong or unknown one is an error.

    class StructKeywords(TypedDict, total=False):
        """The keywords that are msgspec's."""

        tag: bool | str | int | None
        tag_field: str | None
        rename: str | None
        omit_defaults: bool
        forbid_unknown_fields: bool
        frozen: bool
        eq: bool
        order: bool
        kw_only: bool
        repr_omit_defaults: bool
        array_like: bool
        gc: bool
        weakref: bool
        dict: bool
        cache_hash: bool

    class ClassKeywords(JobKeywords, StructKeywords, total=False):
        """All keywords of a job class."""

    @dataclass_transform(field_specifiers=(msgspec.field,))
    class Job:
        """A unit of work: fields that are stored, and ``handle``, which a worker runs."""

        __job_options__: ClassVar[JobOptions]
        __job_name__: ClassVar[str]

        def __init_subclass__(cls, **keywords: Unpack[ClassKeywords]) -> None: ...

else:

    class Job(msgspec.Struct, metaclass=JobMeta):
        """A unit of work: fields that are stored, and ``handle``, which a worker runs.

        Subclass it with typed fields, as a :class:`msgspec.Struct`, and options as class keywords
        (:class:`~asyncqueue.options.JobKeywords`); each is inherited and can be overridden::

            class SendWelcome(Job, queue="emails", max_attempts=5, backoff=[1, 5, 30]):
                user_id: int

                async def handle(self, ctx: Context) -> None: ...

        ``handle`` is a coroutine function, or a plain function, which runs in a thread and
        cannot be interrupted. It runs at least once: when its worker dies, another one runs the
        job again, so a second run must do no harm. ``failed(ctx, error)`` is called once after
        the job failed for good; ``should_retry(error)`` may refuse a retry. These three are the
        only names that no field can have.

        Raises :class:`~asyncqueue.errors.PayloadError` at definition for a field that cannot
        be stored, :class:`~asyncqueue.errors.DuplicateJob` for a taken name, ``TypeError`` or
        ``ValueError`` for an option that cannot be understood, ``TypeError`` for a ``handle`` that
        is a generator or a ``should_retry`` that is a coroutine function.
        """
