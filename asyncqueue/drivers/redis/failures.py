"""What the errors of a server and of the way to it mean to those who use the queue."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.redis.wire import ReplyError, SilenceError
from asyncqueue.errors import AccessDenied, DriverError, DriverUnavailable

if TYPE_CHECKING:
    from asyncqueue.drivers.redis.place import Place

_PASSING: Final = {
    "LOADING": "is loading its data",
    "BUSY": "is busy with a script of somebody else",
    "MASTERDOWN": "is a replica without its primary",
    "READONLY": "is a replica and takes no writes",
    "CLUSTERDOWN": "belongs to a cluster that is down",
    "TRYAGAIN": "is moving keys at the moment",
    "MOVED": "does not hold these keys",
    "ASK": "is moving keys at the moment",
    "MISCONF": "cannot save its data and refuses writes; look at its disk and its log",
    "NOREPLICAS": "has too few replicas to take writes",
    "OOM": "has used up its maxmemory; make room, or raise it",
    "MAX": "has too many clients; raise its maxclients",
}
"""Errors that pass, if need be with the help of an operator: what was asked for is tried again."""
_NO_ENTRY: Final = {
    "NOAUTH": "wants a password; put it in the URL",
    "WRONGPASS": "does not know this user name and password",
}
_REFUSED: Final = {
    "WRONGTYPE": "holds something else under a key of this queue; use a prefix of your own",
    "NOPERM": "does not permit this to the user; see the guide to Redis for the rules it needs",
    "CROSSSLOT": "is a cluster; give its URL as redis+cluster://",
}
_REFUSED_TO_A_SCRIPT: Final = ("The user executing the script can't", "ACL failure in script")
"""What older and newer servers say from inside a script where they say NOPERM elsewhere."""
_ELSEWHERE: Final = frozenset({"READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN"})


def kind_of(error: ReplyError) -> str:
    """The first word of an error reply; for one from inside a script that of the cause."""
    text = str(error)
    if "-OOM " in text or text.startswith("OOM"):
        return "OOM"
    words = text.split(None, 1)
    kind = words[0].lstrip("-") if words else ""
    if kind == "ERR" and "max number of clients" in text:
        return "MAX"
    if any(told in text for told in _REFUSED_TO_A_SCRIPT):
        return "NOPERM"
    if kind == "ERR" and ("AUTH" in text or "invalid password" in text):
        return "WRONGPASS"
    for inner in (*_PASSING, *_NO_ENTRY, *_REFUSED):
        if f"-{inner} " in text or f" {inner} " in text:
            return inner
    return kind


def has_wrong_type(error: BaseException | None) -> bool:
    """True where a key is of another type than ours."""
    return isinstance(error, ReplyError) and kind_of(error) == "WRONGTYPE"


def is_elsewhere(error: ReplyError) -> bool:
    """True where another server should be asked: this connection leads to the wrong one."""
    return kind_of(error) in _ELSEWHERE


def explain(error: Exception, place: Place) -> DriverError:
    """The error to give to the caller, with this one as its cause."""
    explained = _explain(error, place)
    explained.__cause__ = error
    return explained


def _explain(error: Exception, place: Place) -> DriverError:
    if isinstance(error, ReplyError):
        return _explain_reply(error, place)
    if isinstance(error, SilenceError | TimeoutError):
        return DriverUnavailable(
            f"The server {place} did not answer within {place.timeout:g} seconds."
        )
    if isinstance(error, ssl.SSLError):
        return DriverUnavailable(
            f"No TLS connection to {place}: {error}. Check its certificate and the ca= of the URL."
        )
    return DriverUnavailable(f"The server {place} cannot be reached: {error}.")


def _explain_reply(error: ReplyError, place: Place) -> DriverError:
    kind = kind_of(error)
    if kind in _PASSING:
        return DriverUnavailable(f"The server {place} {_PASSING[kind]} ({error}).")
    if kind in _NO_ENTRY:
        return AccessDenied(f"The server {place} {_NO_ENTRY[kind]} ({error}).")
    if kind in _REFUSED:
        return DriverError(f"The server {place} {_REFUSED[kind]} ({error}).")
    return DriverError(f"The server {place} refused a command: {error}.")
