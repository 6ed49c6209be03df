"""The proxy does what it is told, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo:
    """Answers every line with the same line, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rwb", buffering=0) as lines:
            try:
                for line in lines:
                    self.told.append(line)
                    lines.write(line)
            except OSError:
                return


class Client:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)

    def say(self, line: bytes) -> None:
        self._socket.sendall(line)

    def hear(self, patience: float = 5.0) -> bytes:
        """What came; nothing where the connection was ended, or nothing came in time."""
        self._socket.settimeout(patience)
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def ask(self, line: bytes) -> bytes:
        try:
            self.say(line)
        except OSError:
            return b""
        return self.hear()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    client = Client(proxy.port)
    yield client
    client.close()


def test_by_itself_it_passes_everything_on(proxy: Proxy, client: Client) -> None:
    assert client.ask(b"one\n") == b"one\n"
    assert client.ask(b"two\n") == b"two\n"
    assert proxy.exchanges == 2
    (connection,) = proxy.connections
    assert (connection.said, connection.passed["from"]) == (b"one\ntwo\n", 8)


def test_stalled_bytes_come_later(proxy: Proxy, echo: Echo, client: Client) -> None:
    proxy.stall("from")
    client.say(b"one\n")
    assert client.hear(0.1) == b""
    assert echo.told == [b"one\n"]
    proxy.resume()
    assert client.hear() == b"one\n"


def test_a_silenced_connection_stays_silent_and_new_ones_work(proxy: Proxy, client: Client) -> None:
    assert client.ask(b"one\n") == b"one\n"
    assert proxy.silence(lambda connection: b"two" in connection.said) == 0
    assert proxy.silence(lambda connection: b"one" in connection.said) == 1
    client.say(b"two\n")
    assert client.hear(0.1) == b""
    other = Client(proxy.port)
    assert other.ask(b"three\n") == b"three\n"
    other.close()
    proxy.mend()
    assert client.hear(0.1) == b""


def test_what_is_held_comes_so_much_later(proxy: Proxy, client: Client) -> None:
    proxy.hold(0.1, "to")
    began = time.monotonic()
    assert client.ask(b"one\n") == b"one\n"
    assert time.monotonic() - began >= 0.1


def test_a_trickle_takes_its_time(proxy: Proxy, client: Client) -> None:
    proxy.trickle(1000, "from")
    began = time.monotonic()
    line = b"x" * 199 + b"\n"
    client.say(line)
    heard = b""
    while len(heard) < len(line):
        heard += client.hear()
    assert heard == line
    assert time.monotonic() - began >= 0.15


def test_a_cut_ends_what_is_open(proxy: Proxy, client: Client) -> None:
    assert client.ask(b"one\n") == b"one\n"
    assert proxy.cut() == 1
    assert client.ask(b"two\n") == b""


def test_a_cut_after_so_many_bytes(proxy: Proxy, echo: Echo, client: Client) -> None:
    proxy.cut_after(6)
    assert client.ask(b"one\n") == b"one\n"
    assert client.ask(b"two\n") == b""
    assert echo.told[0] == b"one\n"
    assert b"two\n" not in echo.told


@pytest.mark.parametrize("when", ["after request", "before reply"])
def test_a_cut_at_an_exchange(proxy: Proxy, echo: Echo, client: Client, when) -> None:
    """The server was told, and the client does not know."""
    assert client.ask(b"one\n") == b"one\n"
    proxy.cut_at(2, when)
    assert client.ask(b"two\n") == b"two\n"
    assert client.ask(b"three\n") == b""
    assert echo.told == [b"one\n", b"two\n", b"three\n"]
    other = Client(proxy.port)
    assert other.ask(b"four\n") == b"four\n"
    other.close()


def test_new_connections_are_refused(proxy: Proxy, client: Client) -> None:
    assert client.ask(b"one\n") == b"one\n"
    proxy.refuse()
    other = Client(proxy.port)
    assert other.ask(b"two\n") == b""
    other.close()
    assert client.ask(b"three\n") == b"three\n"
    proxy.mend()
    another = Client(proxy.port)
    assert another.ask(b"four\n") == b"four\n"
    another.close()
