"""How deep MessagePack bytes nest, told before a decoder follows them.

Decoders call themselves for each level, on a stack that may be a small one, and the interpreter's
own bound is as high as the application has set it. So bytes that nest deeper than
:data:`DEEPEST` are never handed to one.
"""

from __future__ import annotations

import re
from typing import Final

DEEPEST: Final = 256
"""Levels. Bytes that are no more than this cannot nest deeper, and need no look."""

# The first bytes of arrays and maps that have something in them.
_OPENING: Final = bytes([*range(0x81, 0x90), *range(0x91, 0xA0), *range(0xDC, 0xE0)])
_SIZES: Final = bytes(
    [
        *(1,) * 0x81,  # small numbers, the empty map
        *(0,) * 15,
        1,  # the empty array
        *(0,) * 15,
        *range(1, 33),  # short texts
        *(1, 0, 1, 1),  # nil, a byte that is never used, false, true
        *(0,) * 6,
        *(5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # numbers
        *(3, 4, 6, 10, 18),  # extensions
        *(0,) * 7,
        *(1,) * 32,  # small negative numbers
    ]
)
"""Bytes of an item by its first one; 0 where that alone does not say it."""
_BYTES: Final = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0)}
_EXTENSIONS: Final = {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_TEXTS: Final = {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_LENGTHS: Final = {**_BYTES, **_EXTENSIONS, **_TEXTS}
"""Bytes of the length that follows, and bytes beside what it counts."""
_SHORT_MAPS: Final = {0x80 + items: (0, 2 * items) for items in range(1, 16)}
_SHORT_ARRAYS: Final = {0x90 + items: (0, items) for items in range(1, 16)}
_LONG: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
_COUNTS: Final = {**_SHORT_MAPS, **_SHORT_ARRAYS, **_LONG}
"""Bytes of the count that follows, and the items of each that it counts, or of all."""
_MANY: Final = 32
"""Items of which a run of one size is looked for."""
_RUNS: Final = re.compile(
    rb"[\x00-\x80\x90\xc0\xc2\xc3\xe0-\xff]+|(?:[\xcc\xd0].)+|(?:[\xcd\xd1]..)+"
    rb"|(?:[\xca\xce\xd2].{4})+|(?:[\xcb\xcf\xd3].{8})+",
    re.DOTALL,
)


def nests_too_deep(packed: bytes) -> bool:
    """Whether they nest deeper than :data:`DEEPEST`; of malformed ones, as far as they are read."""
    if len(packed) <= DEEPEST:
        return False
    # A sixth of a second for a million bytes is too long for what most payloads can tell at once.
    if len(packed) - len(packed.translate(None, _OPENING)) <= DEEPEST:
        return False
    return _nests(packed)


def _nests(packed: bytes) -> bool:
    """The same, by a walk over the items of the first value in these bytes."""
    outer: list[int] = []  # Items still to come on the levels around this one.
    missing = 1
    at = 0
    while at < len(packed):
        size = _SIZES[packed[at]]
        if size:
            at += size
            missing -= 1
        else:
            at, inside = _step(packed, at)
            if inside:
                outer.append(missing - 1)
                if len(outer) > DEEPEST:
                    return True
                at, missing = (at, inside) if inside < _MANY else _pass_run(packed, at, inside)
            else:
                missing -= 1
        while not missing and outer:
            missing = outer.pop()
        if not missing:
            return False
    return False


def _step(packed: bytes, at: int) -> tuple[int, int]:
    """Where the next item begins, and how many are inside of this one."""
    first = packed[at]
    if first in _COUNTS:
        width, items = _COUNTS[first]
        return at + 1 + width, items * _number(packed, at + 1, width) if width else items
    if first in _LENGTHS:
        width, beside = _LENGTHS[first]
        return at + 1 + width + beside + _number(packed, at + 1, width), 0
    return len(packed), 0  # No decoder gets further either.


def _pass_run(packed: bytes, at: int, missing: int) -> tuple[int, int]:
    """Where the items of one size at the beginning of a long level end, and how many are left."""
    run = _RUNS.match(packed, at)
    if run is None:
        return at, missing
    size = _SIZES[packed[at]]
    items = min((run.end() - at) // size, missing)
    return at + items * size, missing - items


def _number(packed: bytes, at: int, width: int) -> int:
    return int.from_bytes(packed[at : at + width], "big")
