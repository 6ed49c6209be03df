"""Commands with manners: short errors, suggestions, the exit codes 0, 1 and 2."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

import click

from asyncqueue.cli.errors import report

if TYPE_CHECKING:
    from collections.abc import Sequence

RAW_ARGUMENTS = "asyncqueue.arguments"


def _main(
    main: Any, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
) -> None:
    given = list(sys.argv[1:] if args is None else args)
    extra["standalone_mode"] = False
    try:
        code = main(args=given, prog_name=prog_name, **extra)
    except Exception as error:  # noqa: BLE001 - the one place where a command's errors end
        code = report(error, as_json="--json" in given, full="--traceback" in given)
    sys.exit(code if isinstance(code, int) else 0)


class Verb(click.Command):
    """One command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--traceback"],
                is_flag=True,
                expose_value=False,
                help="Show the whole traceback of an error.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they were given, too."""
        ctx.meta[RAW_ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run it and end the process with its exit code."""
        _main(super().main, *args, **kwargs)


class Verbs(click.Group):
    """A command with commands of its own."""

    command_class = Verb

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; without any, show which commands there are."""
        if not args:
            click.echo(ctx.get_help())
            ctx.exit(2)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and suggest what a misspelt command may have meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            names = self.list_commands(ctx)
            close = difflib.get_close_matches(name, names, n=1)
            hint = f' Did you mean "{close[0]}"?' if close else ""
            ctx.fail(f'There is no command "{name}".{hint} Known: {", ".join(names)}.')
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run one of its commands and end the process with the exit code."""
        _main(super().main, *args, **kwargs)


Verbs.group_class = Verbs
