"""Which class a stored kind stands for. Nothing is ever imported because data names it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from asyncqueue.errors import DuplicateJob, UnknownJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Factory = Callable[[dict[str, Any]], Any] | Callable[[], Any]
    """Gives a job for its stored payload, or the class that the payload is decoded to."""

C = TypeVar("C", bound=type)


def fold(name: str) -> str:
    """The registered spelling of a kind: ``*jobs.EmailJob`` and ``jobs.EmailJob`` are ``EmailJob``.

    Raises ``TypeError`` for anything but text and ``ValueError`` when nothing is left of it.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a job must be a string, got {name!r}")
    folded = name.strip().lstrip("*").rpartition(".")[2]
    if not folded:
        raise ValueError(f"A job needs a name, got {name!r}")
    return folded


class Registry:
    """Kinds and what builds their jobs: a job class, or a factory.

    A factory is called with the stored payload, a dict, and returns the job; one without
    parameters returns the class (or an instance of it) that the payload is decoded to.
    """

    def __init__(self) -> None:
        self.version = 0
        """Changes whenever a name may stand for something else than before."""
        self._makers: dict[str, Any] = {}

    @overload
    def register(self, name: C, *, replace: bool = False) -> C: ...
    @overload
    def register(self, name: str, maker: type | Factory, *, replace: bool = False) -> Any: ...
    def register(
        self,
        name: Any,
        maker: Any = None,
        *,
        replace: bool = False,
    ) -> Any:
        """Register a class or factory under ``name``; a class alone goes by its own name.

        Answers what was registered, so that it decorates a class, too.

        The same one again is a no-op. Another one under a taken name raises
        :class:`~asyncqueue.errors.DuplicateJob` unless ``replace`` is true.
        """
        if maker is None:
            if isinstance(name, str):
                raise TypeError(f"register({name!r}) needs the class or factory to register")
            maker, name = name, str(getattr(name, "__job_name__", name.__name__))
        if not callable(maker):
            raise TypeError(f"A job class or a factory is needed for {name!r}, got {maker!r}")
        key = fold(cast("str", name))
        _refuse_own(key, maker)
        taken = self._makers.get(key)
        if taken is not None and not replace and not _same_definition(taken, maker):
            raise DuplicateJob(
                f'The job name "{key}" is taken by {_place(taken)}; {_place(maker)} needs another '
                "one: give it name=..., or replace=True to take over."
            )
        self._makers[key] = maker
        self.version += 1
        return maker

    def get(self, name: str) -> Any | None:
        """The class or factory of this kind, or None."""
        try:
            key = fold(name)
        except ValueError:
            return None  # A stored kind may be any text.
        return self._makers.get(key) or _built_in.get(name)

    def find(self, name: str) -> Any:
        """As :meth:`get`, but raises :class:`~asyncqueue.errors.UnknownJob`."""
        maker = self.get(name)
        if maker is None:
            raise UnknownJob(
                f'No job "{name}" is registered.{suggest(name, self._makers)} '
                "Import the module that defines it before the worker starts."
            )
        return maker

    def clear(self) -> None:
        """Forget everything."""
        self._makers.clear()
        self.version += 1

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._makers))

    def __len__(self) -> int:
        return len(self._makers)


def suggest(name: str, known: Any) -> str:
    """`` Did you mean "x"? Known: …`` for an error message."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."


def _same_definition(one: Any, other: Any) -> bool:
    """The same object, or the same ``class`` statement run again (a reload)."""
    if one is other:
        return True
    site = getattr(one, "__job_site__", None)
    return site is not None and site == getattr(other, "__job_site__", None)


def _place(maker: Any) -> str:
    return (
        f"{maker.__module__}.{maker.__qualname__}"
        if hasattr(maker, "__qualname__")
        else repr(maker)
    )


_built_in: dict[str, Any] = {}
OWN = "asyncqueue:"
"""Kinds of our own begin so: every registry has them, and none lists them."""


def register_own(kind: str, cls: Any) -> bool:
    """Register a job class of ours; False for those of others."""
    if not kind.startswith(OWN) or cls.__module__.partition(".")[0] != __package__:
        return False
    _built_in[kind] = cls
    return True


def _refuse_own(kind: str, maker: Any) -> None:
    if kind.startswith(OWN):
        raise ValueError(
            f'Kinds that begin with "{OWN}" are those of asyncqueue itself; give {_place(maker)} '
            "another name."
        )


default_registry = Registry()
"""Where job classes register when they are defined."""


@overload
def register(name: C, *, replace: bool = False) -> C: ...
@overload
def register(name: str, maker: type | Factory, *, replace: bool = False) -> Any: ...
def register(name: Any, maker: Any = None, *, replace: bool = False) -> Any:
    """Register a class or factory in the default registry, see :meth:`Registry.register`."""
    return default_registry.register(name, maker, replace=replace)
