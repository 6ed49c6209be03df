"""Commands in the pages use verbs and options that there are."""

from __future__ import annotations

import shlex

import click
import pytest

from asyncqueue.cli.app import asyncqueue

from .pages import Block, blocks


def commands() -> list[tuple[Block, str]]:
    found = [(block, line) for block in blocks("sh") for line in block.text.splitlines()]
    for block in blocks("console"):
        found += [(block, line[2:]) for line in block.text.splitlines() if line.startswith("$ ")]
    for block in blocks("ini"):
        found += [
            (block, "python -m" + line.partition("python -m")[2])
            for line in block.text.splitlines()
            if "python -m asyncqueue" in line
        ]
    return found


def arguments(line: str) -> list[str] | None:
    words = shlex.split(line, comments=True)
    if words[:1] == ["asyncqueue"]:
        return words[1:]
    if words[:3] == ["python", "-m", "asyncqueue"]:
        return words[3:]
    if words[:3] == ["python", "-m", "asyncqueue.worker"]:
        return ["worker", *words[3:]]
    return None


@pytest.mark.parametrize(
    ("block", "line"), [pair for pair in commands() if arguments(pair[1])], ids=str
)
def test_command_is_understood(block: Block, line: str):
    parse(asyncqueue, "asyncqueue", arguments(line) or [])


def parse(command: click.Command, name: str, words: list[str]) -> None:
    """Parse the arguments without running anything; raises what click raises."""
    with command.make_context(name, words, resilient_parsing=False) as ctx:
        if isinstance(command, click.Group):
            rest = [*ctx._protected_args, *ctx.args]
            verb, sub, left = command.resolve_command(ctx, rest)
            assert sub is not None
            parse(sub, str(verb), left)
