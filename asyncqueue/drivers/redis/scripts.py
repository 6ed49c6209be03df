"""The Lua scripts of this driver: one file per verb, and pieces that several of them include."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncqueue.drivers.redis.failures import has_wrong_type
from asyncqueue.drivers.redis.wire import ReplyError
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from asyncqueue.drivers.redis.link import Link
    from asyncqueue.drivers.redis.resting import Rest
    from asyncqueue.drivers.redis.wire import Word

_INCLUDE: Final = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    """A script and the name by which a server that has seen it knows it."""

    text: str
    sha: str


@cache
def script(verb: str) -> Script:
    """The script of a verb, with its pieces put in."""
    text = _put_together(verb, set())
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _put_together(name: str, there: set[str]) -> str:
    """A file and what it includes, each piece where it is first needed."""
    if name in there:
        return ""
    there.add(name)
    return _INCLUDE.sub(lambda include: _put_together(include[1], there), _read(name))


@cache
def _read(name: str) -> str:
    return (files("asyncqueue.drivers.redis") / "lua" / f"{name}.lua").read_text("utf-8")


class Scripts:
    """Runs scripts for one shard; ``now`` gives what the clock says, empty for the server's.

    With ``rest``, nothing is asked of a shard that just did not answer.
    """

    def __init__(
        self,
        link: Link,
        tag: str,
        now: Callable[[], str],
        shard: int = 0,
        rest: Rest | None = None,
    ) -> None:
        self.tag = tag
        self.shard = shard
        self.rest = rest
        self._link = link
        self._now = now

    async def run(self, verb: str, *arguments: Word) -> Any:
        """The answer of the script of a verb."""
        return await self.run_with(verb, arguments)

    async def run_with(self, verb: str, arguments: Iterable[Word]) -> Any:
        """As :meth:`run`; a server that has lost the script is given it again."""
        words = self.command(verb, arguments)
        try:
            return await self._ask(words)
        except DriverError as error:
            if has_wrong_type(error.__cause__):
                raise await self._telling_which(error) from error.__cause__
            if not _is_unknown(error.__cause__):
                raise
        return await self._ask(("EVAL", script(verb).text, *words[2:]))

    def command(self, verb: str, arguments: Iterable[Word]) -> tuple[Word, ...]:
        """What is sent for that, to a server that has the script."""
        return ("EVALSHA", script(verb).sha, 1, self.tag, self._now(), *arguments)

    async def _telling_which(self, error: DriverError) -> DriverError:
        """The same, with the names of the keys that are not ours."""
        text, _ = script("types")
        try:
            found = await self._ask(("EVAL", text, 1, self.tag, self._now()))
        except DriverError:
            return error  # It says what is wrong, if not where.
        told = [word.decode("utf-8", "replace") for word in found]
        wrong = [
            f"{name} is a {kind} and no {wanted}"
            for name, kind, wanted in zip(told[::3], told[1::3], told[2::3], strict=True)
        ]
        return DriverError(f"{error} {', '.join(wrong)}.") if wrong else error

    async def call(self, *words: Word) -> Any:
        """The reply to a command."""
        return await self._ask(words)

    async def step(self, *commands: Sequence[Word]) -> Any:
        """The replies to commands that are executed as one."""
        return await self._link.step(*commands, shard=self.shard)

    @property
    def is_resting(self) -> bool:
        """Whether it did not answer when it was last asked."""
        return self.rest is not None and self.rest.resting

    def let_rest(self) -> None:
        """It is slow: others need not wait for it."""
        if self.rest is not None:
            self.rest.begin(None)

    async def _ask(self, words: Sequence[Word]) -> Any:
        if self.rest is None:
            return await self._link.ask(words, self.shard)
        with self.rest.unless_resting():
            return await self._link.ask(words, self.shard)


def _is_unknown(cause: BaseException | None) -> bool:
    return isinstance(cause, ReplyError) and str(cause).startswith("NOSCRIPT")
