"""Applications that tests write into an empty directory and run workers on."""

from __future__ import annotations

SHOP = '''
import asyncio, multiprocessing, sys, time
from asyncqueue import Job, Queue, Worker

queue = Queue("sqlite:///queue.db")
worker = Worker(queue, ["emails"], concurrency=3, grace=7)


class Send(Job, backoff=0.01, max_attempts=2):
    who: str

    async def handle(self, ctx):
        ctx.logger.info("sending to %s", self.who)
        return f"sent {self.who}"


class Boom(Job, max_attempts=1):
    async def handle(self, ctx):
        raise ValueError("no\\n12:00:00.000 ERROR   a forged line \\x1b[31m")


class Wait(Job):
    """Runs until it is cancelled."""

    async def handle(self, ctx):
        print("waiting, attempt", ctx.attempt, flush=True)
        await asyncio.sleep(3600)


class Deaf(Job):
    async def handle(self, ctx):
        print("deaf", flush=True)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass


class Plain(Job):
    def handle(self, ctx):
        print("plain", flush=True)
        time.sleep(3600)


class Block(Job):
    async def handle(self, ctx):
        print("blocking", flush=True)
        time.sleep(3600)


class Slow(Job):
    seconds: float

    async def handle(self, ctx):
        print("slow", flush=True)
        await asyncio.sleep(self.seconds)
        print("slow done", flush=True)


class Forks(Job):
    """Ends a process of its own by SIGTERM and answers how that ended."""

    def handle(self, ctx):
        other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(3600,))
        other.start()
        other.terminate()
        other.join()
        return other.exitcode


class DieOnce(Job):
    async def handle(self, ctx):
        print("attempt", ctx.attempt, flush=True)
        if ctx.attempt == 1:
            await asyncio.sleep(3600)
'''

SLOW_TO_IMPORT = """
import time
print("importing", flush=True)
time.sleep(3600)
"""

SAYS = """
from asyncqueue import Job, Queue

queue = Queue("sqlite:///queue.db")


class Say(Job):
    async def handle(self, ctx):
        print("this is version {version}", flush=True)
"""

COLLECTED = """
import gc
from asyncqueue import Job, Queue

{setting}
queue = Queue("sqlite:///queue.db")


class Say(Job):
    async def handle(self, ctx):
        print("collects after", gc.get_threshold()[0], gc.get_freeze_count() > 10_000, flush=True)
"""

FARAWAY = '''
from pathlib import Path
from asyncqueue import DriverUnavailable, Queue
from asyncqueue.drivers.sqlite import SqliteDriver


class Faraway(SqliteDriver):
    """A server, so to speak, which is up when the file "up" is there."""

    remote = True

    async def open(self):
        if not Path("up").exists():
            raise DriverUnavailable("nothing answers at faraway:1234: connection refused")
        await super().open()


queue = Queue(Faraway("queue.db"))
'''
