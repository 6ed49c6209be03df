"""The demo verb: shows asyncqueue at work."""

from __future__ import annotations

import importlib
from typing import Any

import click

from asyncqueue.cli.errors import Failure
from asyncqueue.cli.program import Verb


@click.command(
    cls=Verb,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> Any:
    """See it work on an embedded queue; no server needed."""
    try:
        # By name, because the demo is built on top of the command line, not beneath it.
        module = importlib.import_module("asyncqueue.demo.main")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "asyncqueue":
            raise
        raise Failure(
            f"The demo needs the package {error.name}, which is not installed.",
            'pip install "asyncqueue[demo]"',
            kind="MissingExtra",
        ) from error
    return module.main(list(arguments))
