"""What errors of PostgreSQL and of the network mean to those who use the queue."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.postgres.guests import GuestError
from asyncqueue.drivers.postgres.wire import (
    InterfaceError,
    InternalClientError,
    is_from_server,
    is_of_a_dropped_connection,
)
from asyncqueue.errors import AccessDenied, AsyncQueueError, DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncqueue.drivers.postgres.place import Place

_UNDONE: Final = ("40P01", "40001")
_NO_ENTRY: Final = "28"
_UNAVAILABLE: Final = {
    "08": "the connection was lost; it is opened anew with the next call",
    "25006": "it takes no writes now; is it a standby? give the address of the primary",
    "3D000": "create it, or name another one",
    "40": "other transactions are in the way",
    "53300": "raise its max_connections, or give a smaller pool_size",
    "53": "it lacks resources",
    "55P03": "other transactions are in the way",
    "57014": "it took too long; are other transactions in the way?",
    "57": "it is starting or shutting down",
    "58": "it has trouble with its system",
}
"""By SQLSTATE or its class: what passes, or is for an operator to mend while workers wait."""
_REFUSED: Final = {
    "42501": "grant the user the rights to the schema and its tables",
    "42P01": "its tables were dropped; restart to create them",
    "3F000": "its schema was dropped; restart to create it",
    "22021": "PostgreSQL keeps no NUL character in a text",
}


def is_worth_a_retry(error: BaseException) -> bool:
    """True where nothing was done that counts.

    The server undid a transaction for the sake of another one, or asyncpg could not even send,
    over a connection whose end it had not noticed yet.
    """
    return _sqlstate(error) in _UNDONE or never_sent(error)


def lacks_rights(error: BaseException) -> bool:
    """True where the user may not do what a statement does."""
    return _sqlstate(error) == "42501"


def is_taken(error: BaseException) -> bool:
    """True where a row is in the way of another one."""
    return _sqlstate(error) == "23505"


def has_no_transaction(error: BaseException) -> bool:
    """True where a statement needs a transaction and the connection is in none."""
    return _sqlstate(error) == "25P01"


def never_sent(error: BaseException) -> bool:
    """True where asyncpg itself found that a connection is of no use."""
    if isinstance(error, (InterfaceError, InternalClientError)):
        return not isinstance(error, ValueError)
    return is_of_a_dropped_connection(error)


@contextlib.contextmanager
def explained(place: Place) -> Generator[None]:
    """Raise errors of the server and the network as what they mean."""
    try:
        yield
    except AsyncQueueError:
        raise
    except Exception as error:
        meant = explain(error, place)
        if meant is error:
            raise
        raise meant from error


def explain(error: Exception, place: Place) -> Exception:
    """What an error means; the same error where it is not of the server or the network."""
    if isinstance(error, (OSError, EOFError)):  # TimeoutError is an OSError
        return unreachable(place, _of_network(error))
    if not isinstance(error, GuestError) and not is_from_server(error):
        dropped = is_of_a_dropped_connection(error)
        return unreachable(place, "the connection was dropped") if dropped else error
    code, text = _sqlstate(error), str(error)
    if code is None:
        return unreachable(place, text) if never_sent(error) else _refused(place, text)
    if code.startswith(_NO_ENTRY):
        return unreachable(place, f"{text}; check user and password", AccessDenied)
    for advice in (_UNAVAILABLE.get(code), _UNAVAILABLE.get(code[:2])):
        if advice is not None:
            return unreachable(place, f"{text}; {advice}")
    return _refused(place, text, _REFUSED.get(code))


def _of_network(error: OSError | EOFError) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return f"its certificate is refused: {why}; check sslrootcert and the host of the URL"
    if isinstance(error, ssl.SSLError):
        return f"{text}; check sslmode and the certificates"
    if isinstance(error, FileNotFoundError):
        return f"{text}; check the files that sslrootcert, sslcert and sslkey name, or the socket"
    return text


def unreachable(
    place: Place, why: str, kind: type[DriverUnavailable] = DriverUnavailable
) -> DriverUnavailable:
    """The error of one who got no answer."""
    return kind(f"PostgreSQL at {place.location} is not available: {why}.")


def silent(place: Place) -> DriverUnavailable:
    """The error of one who waited too long."""
    return unreachable(
        place, f"no answer within {place.patience:g} seconds; check the network and its load"
    )


def _refused(place: Place, text: str, advice: str | None = None) -> DriverError:
    more = f"; {advice}" if advice else ""
    return DriverError(f"PostgreSQL at {place.location} refused a statement: {text}{more}.")


def _sqlstate(error: BaseException) -> str | None:
    code: str | None = getattr(error, "sqlstate", None)
    return code
