"""Bytes that are small and would become large: refused first, on any stack, and hardly noticed."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The peak of the resident memory before and after, and what became of each bomb in each thread.
IN_MANY_THREADS = """
import sys, threading
from collections import Counter
from asyncqueue import Job, Registry, codec
from asyncqueue.errors import PayloadError, PayloadTooLarge
from asyncqueue.sealing import Seal

class Bombed(Job):
    value: int = 0
    words: list[str] = []
    table: dict[str, int] = {}

    async def handle(self, ctx): ...

sys.setrecursionlimit(10**7)
threading.stack_size(256 * 1024)
registry, seal = Registry(), Seal(1024 * 1024)
registry.register("Bombed", Bombed)
HEAD, MILLION = b"\\x82\\xa1v\\x01\\xa4data", 1024 * 1024 - 64
number = lambda width, value: value.to_bytes(width, "big")

def in_field(name, data):
    return HEAD + b"\\x81" + bytes([0xA0 + len(name)]) + name + data

bombs = {
    "lists in lists": in_field(b"value", b"\\x91" * MILLION),
    "maps in maps": in_field(b"table", b"\\x81\\xa1k" * (MILLION // 3)),
    "maps as keys": in_field(b"table", b"\\x81" * MILLION),
    "empty maps": in_field(b"words", b"\\xdd" + number(4, MILLION) + b"\\x80" * MILLION),
    "empty maps elsewhere": in_field(b"value", b"\\xdd" + number(4, MILLION) + b"\\x80" * MILLION),
    "a list that says it is long": in_field(b"words", b"\\xdd" + number(4, 2**32 - 1)),
    "a map that says it is long": in_field(b"table", b"\\xdf" + number(4, 2**32 - 1)),
    "a text that says it is long": in_field(b"words", b"\\xdb" + number(4, 2**32 - 1)),
    "bytes that say they are long": in_field(b"value", b"\\xc6" + number(4, 2**32 - 1)),
    "an extension that says so": in_field(b"value", b"\\xc9" + number(4, 2**32 - 1) + b"\\x01"),
    "a number of many digits": in_field(b"value", b"\\xda\\xff\\xff" + b"9" * 65535),
    "a number in an extension": in_field(b"value", b"\\xc8\\xff\\xff\\x02" + b"\\xff" * 65535),
    "too large": HEAD + b"\\x80" + bytes(1024 * 1024),
}
told, bird = [], codec.encode(Bombed(2**63 - 1, ["a"], {"b": 1}), 1000)

def take(name, payload):
    try:
        opened = seal.open("Bombed", "1", payload)
        job = codec.decode("Bombed", codec.open_envelope("Bombed", opened), registry)
    except (PayloadError, PayloadTooLarge) as error:
        return f"{name}: {type(error).__name__}"
    return f"{name}: {job.value}"

def work():
    for name, payload in bombs.items():
        told.append(take(name, payload))
    told.append(take("good", bird))

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

take("good", bird)
count, before = int(sys.argv[1]), peak()
for _ in range(2):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
wrong = {f"{name}: PayloadError" for name in bombs if name != "too large"}
wrong |= {"too large: PayloadTooLarge", f"good: {2**63 - 1}"}
assert Counter(told) == dict.fromkeys(wrong, 2 * count), Counter(told)
print(peak() - before)
"""
MOST = 8 * 1024
"""KiB; of 64 threads the stacks are in it."""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells how much it took at most")
@pytest.mark.parametrize(
    "threads",
    [8, *(pytest.param(count, marks=pytest.mark.faults) for count in (1, 64))],
    ids="{} threads".format,
)
def test_nothing_that_is_refused_takes_memory(threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_MANY_THREADS, str(threads)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= MOST
