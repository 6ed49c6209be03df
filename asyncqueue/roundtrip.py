"""Whether a job comes back as it was dispatched."""

from __future__ import annotations

import functools
import reprlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from asyncqueue.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@functools.cache
def untyped_fields(cls: Any) -> frozenset[str]:
    """The fields of a struct or dataclass with an ``Any`` or ``object`` in their types."""
    kind: Any = msgspec.inspect.type_info(cls)
    return frozenset(field.name for field in kind.fields if _has_any(field.type))


def refuse_changed(job: Any, back: Any) -> None:
    """Raise :class:`~asyncqueue.errors.PayloadError` naming the field that came back different.

    Untyped fields must be of the same types, too: nothing else says what they are.
    """
    cls: Any = job.__class__
    untyped = untyped_fields(cls)
    for field in job.__struct_fields__:
        value, returned = getattr(job, field), getattr(back, field)
        if not _same(value, returned, exact=field in untyped):
            raise PayloadError(
                f"{cls.__job_name__}.{field}: {reprlib.repr(value)} would come back as "
                f"{reprlib.repr(returned)}; give the field the exact type of what it holds."
            )


def _has_any(kind: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether there is an ``Any`` or ``object`` somewhere in this type."""
    if isinstance(kind, msgspec.inspect.AnyType):
        return True
    if isinstance(kind, msgspec.inspect.CustomType):
        return kind.cls is object
    if id(kind) in seen or not isinstance(kind, (msgspec.inspect.Type, msgspec.inspect.Field)):
        return False
    deeper = seen | {id(kind)}
    return any(_has_any(part, deeper) for part in parts_of(kind))


def parts_of(kind: Any) -> Iterator[Any]:
    """What a type of ``msgspec.inspect`` is made of, other types among it."""
    for attribute in kind.__struct_fields__:
        value = getattr(kind, attribute)
        yield from cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)


def _same(value: Any, returned: Any, *, exact: bool) -> bool:
    """Whether they are equal; ``exact``: of the same types, too. NaN equals itself.

    A field declared as a sequence takes a tuple and gives a list: not exactly, but the same.
    """
    if type(value) is not type(returned) and (exact or not _both(value, returned, (list, tuple))):
        return not exact and bool(value == returned)
    if isinstance(value, dict):
        one = cast("dict[Any, Any]", value)
        return one.keys() == returned.keys() and all(
            _same(one[key], returned[key], exact=exact) for key in one
        )
    if isinstance(value, (list, tuple)):
        pairs = zip(cast("Sequence[Any]", value), returned, strict=False)
        return len(cast("Sequence[Any]", value)) == len(returned) and all(
            _same(item, other, exact=exact) for item, other in pairs
        )
    names: Iterable[str] = getattr(value, "__struct_fields__", None) or getattr(
        value, "__dataclass_fields__", ()
    )
    if names:
        untyped = untyped_fields(cast("Any", type(value)))
        return all(
            _same(getattr(value, name), getattr(returned, name), exact=name in untyped)
            for name in names
        )
    return bool(value == returned or value != value)  # noqa: PLR0124 - NaN is not itself


def _both(one: Any, other: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(one, kinds) and isinstance(other, kinds)
