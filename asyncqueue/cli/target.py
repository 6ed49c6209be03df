"""Loads what ``module:attribute`` names, and says precisely what is wrong where it cannot."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.frames import last_frame
from asyncqueue.queue import Queue
from asyncqueue.schedule import Scheduler
from asyncqueue.worker import Worker

if TYPE_CHECKING:
    from types import ModuleType

Target = Queue | Worker


class Wanted(NamedTuple):
    """What a command can work on: its types, how they are called, and how to make one."""

    types: tuple[type, ...]
    called: str
    example: str


QUEUE_OR_WORKER: Final = Wanted(
    (Queue, Worker), "a Queue or a Worker", 'queue = asyncqueue.Queue("sqlite:///queue.db")'
)
SCHEDULER: Final = Wanted((Scheduler,), "a Scheduler", "scheduler = asyncqueue.Scheduler(queue)")


def load(target: str) -> Target:
    """The Queue or Worker at ``module:attribute``; raises :class:`Failure` with exit code 2."""
    found: Target = _load(target, QUEUE_OR_WORKER)
    return found


def load_scheduler(target: str) -> Scheduler:
    """The Scheduler at ``module:attribute``; raises :class:`Failure` with exit code 2."""
    found: Scheduler = _load(target, SCHEDULER)
    return found


def _load(target: str, wanted: Wanted) -> Any:
    path, colon, attribute = target.partition(":")
    if path.endswith(".py") or os.sep in path:
        module = path.removesuffix(".py").strip("./").replace(os.sep, ".")
        example = f"{module}:{_name_of(wanted)}"
        raise wrong_use(f'"{target}" is a file; write module:attribute, as in {example}')
    if not path:
        example = f"app:{_name_of(wanted)}"
        raise wrong_use(f'"{target}" names no module; write module:attribute, as in {example}')
    module = import_module(path)
    if not colon or not attribute:
        raise wrong_use(
            f'"{target}" does not say which {_name_of(wanted)}; write module:attribute.',
            _offer(module, wanted),
        )
    return _checked(target, _attribute(module, attribute, wanted), module, wanted)


def import_module(name: str) -> ModuleType:
    """Import a module of the application; raises :class:`Failure` with exit code 2."""
    see_current_directory()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            _no_module(name, error.name)
        _broken(name, error)
    except SystemExit as error:
        raise wrong_use(
            f"{name} ended the program while it was imported (exit code {error.code!r}).",
            'Guard what it runs with: if __name__ == "__main__":',
        ) from error
    except Exception as error:  # noqa: BLE001 - whatever the application's code raises
        _broken(name, error)


def see_current_directory() -> None:
    """Let the application be imported from where the command is run."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _broken(name: str, error: Exception) -> NoReturn:
    frame = last_frame(error)
    kind = type(error).__qualname__
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    raise wrong_use(
        f"{name} cannot be imported: {kind}: {text}",
        *([f"at {frame}"] if frame else []),
        "Mend it there; --traceback shows all of it.",
    ) from error


def _no_module(name: str, missing: str) -> NoReturn:
    parent, _, last = missing.rpartition(".")
    where = parent or f"{Path.cwd()} and on PYTHONPATH"
    close = difflib.get_close_matches(last, _neighbours(parent), n=1)
    raise wrong_use(
        f'There is no module "{missing}" in {where}.'
        + (f' Did you mean "{f"{parent}." if parent else ""}{close[0]}"?' if close else ""),
        *([] if missing == name else [f"It is a part of {name}."]),
        "Run the command where the application is, or set PYTHONPATH.",
    )


def _neighbours(parent: str) -> list[str]:
    folders = getattr(sys.modules.get(parent), "__path__", None) if parent else [Path.cwd()]
    return [
        entry.stem
        for folder in folders or ()
        for entry in Path(folder).iterdir()
        if entry.suffix == ".py" or (entry.is_dir() and entry.name.isidentifier())
    ]


def _name_of(wanted: Wanted) -> str:
    """The name that such a thing has in examples."""
    return wanted.example.partition(" = ")[0]


def _attribute(module: ModuleType, path: str, wanted: Wanted) -> Any:
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, _public(found), n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            owner = module.__name__ if found is module else type(found).__qualname__
            raise wrong_use(f'{owner} has no "{name}".{hint}', _offer(module, wanted))
        found = getattr(found, name)
    return found


def _checked(target: str, found: Any, module: ModuleType, wanted: Wanted) -> Any:
    if isinstance(found, wanted.types):
        return found
    is_class = isinstance(found, type)
    kind = f"the class {found.__name__}" if is_class else f"of type {type(found).__name__}"
    raise wrong_use(f'"{target}" is {kind}, not {wanted.called}.', _offer(module, wanted))


def _offer(module: ModuleType, wanted: Wanted) -> str:
    """What of this module could have been meant."""
    usable = [name for name, value in vars(module).items() if isinstance(value, wanted.types)]
    where = Path(module.__file__).name if module.__file__ else module.__name__
    if usable:
        return f"{where} defines: {', '.join(f'{module.__name__}:{name}' for name in usable)}"
    return f"{where} defines no {wanted.types[0].__name__}; add one: {wanted.example}"


def _public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def queue_of(target: Target) -> Queue:
    """The queue that is meant."""
    return target.queue if isinstance(target, Worker) else target


__all__ = [
    "Failure",
    "Target",
    "import_module",
    "load",
    "load_scheduler",
    "queue_of",
    "see_current_directory",
]
