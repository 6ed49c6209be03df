"""The doctor verb: looks at everything a queue needs and says what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

import click

from asyncqueue.cli import checks
from asyncqueue.cli.checks import Finding, Level
from asyncqueue.cli.connect import Operator, operating
from asyncqueue.cli.errors import explain
from asyncqueue.cli.logs import shows_glyphs
from asyncqueue.cli.program import Verb
from asyncqueue.cli.text import escaped

if TYPE_CHECKING:
    from asyncqueue.queue import Queue

_MARKS: Final = {Level.OK: ("ok", "✓", "32"), Level.WARNING: ("warn", "!", "33"),
                 Level.WRONG: ("WRONG", "✗", "31")}  # fmt: skip


@click.command(cls=Verb)
@operating
def doctor(operator: Operator) -> int:
    """Check installation, store and queues; exit code 1 where something is wrong."""
    findings = checks.of_installation()
    try:
        queue = operator.queue()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        failure = explain(error)
        text = " ".join(line.rstrip(".") + "." for line in failure.lines if line)
        findings.append(Finding("queue", Level.WRONG, text))
    else:
        findings.append(checks.of_driver(queue))
        findings += checks.of_keys(queue)
        findings += asyncio.run(_examine(queue, with_kinds=operator.app is not None))
    _print(operator, findings)
    return 1 if any(finding.level is Level.WRONG for finding in findings) else 0


async def _examine(queue: Queue, *, with_kinds: bool) -> list[Finding]:
    findings: list[Finding] = []
    try:
        async with queue:
            findings += await checks.of_store(queue)
            findings += await checks.of_queues(queue)
            findings += await checks.of_jobs(queue, with_kinds=with_kinds)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        findings.append(Finding("store", Level.WRONG, " ".join(explain(error).lines)))
    return findings


def _print(operator: Operator, findings: list[Finding]) -> None:
    wrong = sum(finding.level is Level.WRONG for finding in findings)
    if operator.out.as_json:
        operator.out.line({"healthy": not wrong, "findings": findings}, "")
        return
    glyphs = shows_glyphs(sys.stdout)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = _mark(finding, glyphs=glyphs)
        click.echo(f"{mark} {finding.name:<{width}}  {escaped(finding.text)}")
    click.echo(f"{wrong} wrong." if wrong else "Nothing is wrong.")


def _mark(finding: Finding, *, glyphs: bool) -> str:
    word, glyph, colour = _MARKS[finding.level]
    return f"\x1b[{colour}m{glyph}\x1b[0m" if glyphs else f"{word:<5}"
