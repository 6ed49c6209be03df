"""What ``peers.toml`` says about each peer."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent


class Peer(NamedTuple):
    """A row of the table; the fields are explained at the top of ``peers.toml``."""

    store: str
    name: str
    adapter: str
    guarantee: str
    settings: str
    unsettled: str
    jobs: int
    concurrency: dict[str, int]
    options: dict[str, Any]
    packages: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """As pinned; for this project's own library, as checked out."""
        for pin in self.packages:
            return pin.split("==")[1]
        for pin in self.npm:
            return pin.rpartition("@")[2]
        return "this checkout"


def peers_of(store: str) -> dict[str, Peer]:
    """The peers that use this store, by name, in the order of the table."""
    told = tomllib.loads((FOLDER / "peers.toml").read_text())[store]
    return {name: _peer(store, name, fields) for name, fields in told.items()}


def _peer(store: str, name: str, fields: dict[str, Any]) -> Peer:
    lists = {key: tuple(fields[key]) for key in ("packages", "npm") if key in fields}
    defaults = {"adapter": name.replace("-", "_"), "options": {}}
    concurrency = {"latency": 10, "five_ms": 100} | fields["concurrency"]
    changed = lists | {"concurrency": concurrency}
    return Peer(**({"store": store, "name": name} | defaults | fields | changed))
