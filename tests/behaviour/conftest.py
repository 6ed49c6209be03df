"""Job classes of one test are unknown to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.registry import default_registry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def registry_as_it_was() -> Iterator[None]:
    makers = default_registry._makers
    before = dict(makers)
    yield
    makers.clear()
    makers.update(before)
