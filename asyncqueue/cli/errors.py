"""What a failed command says: what happened, where, what to do, in at most four lines."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import click
import msgspec

from asyncqueue.cli.frames import last_frame
from asyncqueue.cli.text import escaped
from asyncqueue.errors import AsyncQueueError, ConfigError, UnknownDriver

MOST_LINES = 4


class Failure(click.ClickException):
    """Ends the command with these lines and exit code 1; 2 where it was used wrongly."""

    def __init__(self, *lines: str, code: int = 1, kind: str = "Failure") -> None:
        super().__init__(lines[0])
        self.lines = lines
        self.code = code
        self.kind = kind


def wrong_use(*lines: str) -> Failure:
    """What was asked for cannot be meant: exit code 2."""
    return Failure(*lines, code=2, kind="UsageError")


def report(error: Exception, *, as_json: bool, full: bool) -> int:
    """Say on stderr what went wrong; answers the exit code."""
    failure = explain(error)
    if full:
        traceback.print_exception(error, file=sys.stderr)
    if as_json:
        fact = {
            "type": failure.kind,
            "message": failure.lines[0],
            "details": failure.lines[1:],
            "exit_code": failure.code,
        }
        click.echo(msgspec.json.encode({"error": fact}), err=True)
    else:
        click.echo("\n".join(_shown(failure)), err=True)
    return failure.code


def explain(error: Exception) -> Failure:
    """Any exception as the lines to show."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, (click.ClickException, click.Abort)):
        return _clicks_own(error)
    if isinstance(error, AsyncQueueError):
        code = 2 if isinstance(error, (ConfigError, UnknownDriver)) else 1
        return Failure(str(error), code=code, kind=type(error).__name__)
    group: Any = error
    if isinstance(error, ExceptionGroup):
        return explain(group.exceptions[0])
    return _unexpected(error)


def _clicks_own(error: click.ClickException | click.Abort) -> Failure:
    if isinstance(error, click.Abort):
        return Failure("Aborted; nothing was changed.", kind="Aborted")
    if isinstance(error, click.UsageError):
        return _usage(error)
    return Failure(error.format_message(), code=error.exit_code, kind=type(error).__name__)


def _usage(error: click.UsageError) -> Failure:
    lines = [error.format_message()]
    if error.ctx is not None:
        lines += [error.ctx.get_usage(), f"Help: {error.ctx.command_path} --help"]
    return Failure(*lines, code=2, kind="UsageError")


def _unexpected(error: Exception) -> Failure:
    frame = last_frame(error)
    return Failure(
        f"{type(error).__qualname__}: {error}",
        *([f"at {frame}"] if frame else []),
        "This was not foreseen; --traceback shows where it comes from.",
        kind=type(error).__qualname__,
    )


def _shown(failure: Failure) -> list[str]:
    first, *more = [escaped(line.strip()) for text in failure.lines for line in text.splitlines()]
    return [f"Error: {first}", *(f"  {line}" for line in more)][:MOST_LINES]
