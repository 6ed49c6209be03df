"""Jobs to bytes and back: a versioned MessagePack envelope around the job's own fields.

Decoding is strict and typed, and nothing is decoded that nests deeper than ``DEEPEST`` levels.
What is encoded is decoded once before it is stored, so a job that could not come back as it was
dispatched is refused while its producer can still be told. No message shows what a field holds.
"""

from __future__ import annotations

import inspect
from typing import Any, Final, cast

import msgspec

from asyncqueue.backoff import Backoff
from asyncqueue.errors import JobError, PayloadError, PayloadTooLarge
from asyncqueue.hints import hints_of
from asyncqueue.job import Job
from asyncqueue.links import Cause, Rest
from asyncqueue.nesting import DEEPEST, nests_too_deep
from asyncqueue.refusals import no_fields, of_another_version, refused, too_deep
from asyncqueue.registry import Registry, suggest
from asyncqueue.roundtrip import refuse_changed, untyped_fields
from asyncqueue.sealing import explain_sealed
from asyncqueue.trace import Trace

VERSION: Final = 1
_ENCODE_ERRORS: Final = (
    msgspec.MsgspecError,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
)
# TypeError: maps may have keys, and sets items, that cannot be hashed.
_DECODE_ERRORS: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_encoder: Final = msgspec.msgpack.Encoder()


class Envelope(msgspec.Struct, omit_defaults=True):
    """What is stored of a job beside its columns. Absent fields take no bytes."""

    v: int
    data: msgspec.Raw
    trace: Trace | None = None
    timeout: float | None = None
    """Seconds per attempt given at dispatch; negative for none."""
    backoff: Backoff | None = None
    rest: Rest | None = None
    """What is still to come of its chain."""
    cause: Cause | None = None
    """The failure that it was dispatched for."""
    remembered: float = 0.0
    """Seconds for which the record is kept at least, whatever the class says of its retention."""


class _Version(msgspec.Struct):
    v: int


_envelopes: Final = msgspec.msgpack.Decoder(Envelope)
_versions: Final = msgspec.msgpack.Decoder(_Version)
_plain: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder()


class Shape:
    """What the codec knows of one job class; made once for each."""

    def __init__(self, cls: Any) -> None:
        self.decoder = msgspec.msgpack.Decoder(cls)
        self.untyped = bool(untyped_fields(cls))


_shapes: dict[Any, Shape] = {}


def shape_of(cls: Any) -> Shape:
    """The shape of a job class.

    Raises :class:`~asyncqueue.errors.PayloadError` for field types that cannot be stored.
    """
    shape = _shapes.get(cls)
    if shape is None:
        try:
            shape = _shapes[cls] = Shape(cls)
        except (TypeError, NameError) as error:
            raise PayloadError(
                f"{cls.__job_name__}: {error}; every field needs a type that can be stored, "
                "and that can be found from the job's module."
            ) from error
    return shape


def encode(job: Any, max_payload: int, **header: Any) -> bytes:
    """The envelope of a job.

    Raises :class:`~asyncqueue.errors.PayloadError` naming the job and the field that cannot be
    stored, or that would come back different; ``PayloadTooLarge`` over ``max_payload`` bytes.
    """
    cls: Any = job.__class__
    shape = shape_of(cls)
    try:
        data = _encoder.encode(job)
    except _ENCODE_ERRORS as error:
        raise _unencodable(job, error) from error
    try:
        back = shape.decoder.decode(data)
        if shape.untyped or back != job:
            refuse_changed(job, back)
    except _DECODE_ERRORS as error:
        refusal = refused(cls.__job_name__, error)
        raise refusal from refusal.__cause__
    return enveloped(cls.__job_name__, data, max_payload, **header)


def enveloped(name: str, data: bytes, max_payload: int, **header: Any) -> bytes:
    """The envelope around a job's encoded fields."""
    payload = _encoder.encode(Envelope(VERSION, msgspec.Raw(data), **header))
    if len(payload) > max_payload:
        raise PayloadTooLarge(
            f"{name}: {len(payload):,} bytes is over max_payload, {max_payload:,}. "
            "Store the data elsewhere and dispatch a reference to it."
        )
    if nests_too_deep(payload):
        raise too_deep(name)
    return payload


def extended(payload: bytes, **header: Any) -> bytes:
    """The envelope in stored bytes of ours, with more in its header."""
    return _encoder.encode(msgspec.structs.replace(_envelopes.decode(payload), **header))


def encode_fields(name: str, payload: Any, maker: Any, max_payload: int, **header: Any) -> bytes:
    """The envelope of a job given as a mapping, for producers without its class."""
    if not isinstance(payload, dict):
        raise PayloadError(no_fields(name, payload))
    if not is_job_class(maker):
        try:
            data = _encoder.encode(payload)
        except _ENCODE_ERRORS as error:
            raise PayloadError(f"{name}: {error}") from error
        return enveloped(name, data, max_payload, **header)
    fields = cast("dict[Any, Any]", payload)
    return encode(build(name, maker, fields), max_payload, **header)


def build(name: str, cls: Any, payload: dict[Any, Any]) -> Any:
    """A job of this class from its fields; strict about names and types."""
    known = cls.__struct_encode_fields__
    for key in payload:
        if key not in known:
            raise PayloadError(f'{name}: it has no field "{key}".{suggest(str(key), known)}')
    try:
        if cls.__struct_config__.array_like:
            # msgspec converts only lists to these; their types are checked by :func:`encode`.
            return cls(**payload)
        return msgspec.convert(payload, cls)
    except (msgspec.ValidationError, TypeError) as error:
        refusal = refused(name, error)
        raise refusal from refusal.__cause__


def open_envelope(name: str, payload: bytes) -> Envelope:
    """The envelope in stored bytes, its job not yet decoded.

    Raises :class:`~asyncqueue.errors.PayloadError` when they are not one of ours, and
    ``SignatureInvalid`` when they are still sealed: this queue has no keys.
    """
    if len(payload) > DEEPEST and nests_too_deep(payload):  # Most need no look.
        raise too_deep(name)
    try:
        envelope = _envelopes.decode(payload)
    except _DECODE_ERRORS as error:
        refusal = _unreadable(name, payload, error)
        raise refusal from refusal.__cause__
    if envelope.v != VERSION:
        raise of_another_version(name, envelope.v, VERSION)
    return envelope


def decode(name: str, envelope: Envelope, registry: Registry) -> Any:
    """The job in an envelope.

    Raises :class:`~asyncqueue.errors.UnknownJob` for an unregistered kind and
    :class:`~asyncqueue.errors.PayloadError` for data that does not fit its class.
    """
    maker = registry.find(name)
    if is_job_class(maker):
        return fitted(name, shape_of(maker).decoder, envelope.data)
    return _from_factory(name, maker, envelope.data)


def to_builtins(name: str, payload: bytes) -> Any:
    """The fields in an envelope as plain values. Raises as :func:`open_envelope`."""
    return fitted(name, _plain, open_envelope(name, payload).data)


def is_job_class(maker: Any) -> bool:
    """Whether a registered maker is a job class and not a factory."""
    return isinstance(maker, type) and issubclass(maker, Job)


def encode_result(name: str, value: Any) -> bytes | None:
    """What ``handle`` returned, encoded; None for None."""
    if value is None:
        return None
    try:
        result = _encoder.encode(value)
        if not nests_too_deep(result):
            return result
        reason: object = f"it nests deeper than {DEEPEST} levels"
    except _ENCODE_ERRORS as error:
        reason = error
    raise PayloadError(
        f"{name}: handle returned a {type(value).__qualname__} that cannot be stored: {reason}"
    )


def decode_result(name: str, result: bytes | None, maker: Any) -> Any:
    """A stored result as the type that ``handle`` declares; plain values where it does not.

    Raises :class:`~asyncqueue.errors.PayloadError` for bytes that are no result.
    """
    if result is None:
        return None
    if nests_too_deep(result):
        raise too_deep(name)
    kind = result_type(maker)
    try:
        return msgspec.msgpack.decode(result, type=kind)
    except (*_DECODE_ERRORS, NameError):
        return _plain_result(name, result)


def result_type(maker: Any) -> Any:
    """What ``handle`` of this class says it returns, or Any."""
    handle = getattr(maker, "handle", None)
    if not inspect.isfunction(handle):
        return Any
    hint = hints_of(handle).get("return", Any)
    return Any if isinstance(hint, str) or hint is type(None) else hint


def fitted(name: str, decoder: msgspec.msgpack.Decoder[Any], data: msgspec.Raw) -> Any:
    """Stored data decoded; :class:`~asyncqueue.errors.PayloadError` when it does not fit."""
    try:
        return decoder.decode(data)
    except _DECODE_ERRORS as error:
        refusal = refused(f"{name}: the stored payload does not fit", error)
        raise refusal from refusal.__cause__


def _from_factory(name: str, factory: Any, data: msgspec.Raw) -> Any:
    try:
        takes_payload = bool(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        takes_payload = True
    # What the factory itself raises is its own error, and shown as such.
    made = factory(fitted(name, _plain, data)) if takes_payload else factory()
    cls = made if isinstance(made, type) else type(made)
    if not is_job_class(cls):
        raise JobError(f"The factory {factory!r} must give a job, got a {type(made).__qualname__}")
    return made if takes_payload else fitted(name, shape_of(cls).decoder, data)


def _plain_result(name: str, result: bytes) -> Any:
    try:
        return _plain.decode(result)
    except _DECODE_ERRORS as error:
        refusal = refused(f"{name}: the stored result cannot be read", error)
        raise refusal from refusal.__cause__


def _unreadable(name: str, payload: bytes, error: Exception) -> JobError:
    """Why bytes are no envelope: sealed, of another version, or none at all."""
    sealed = explain_sealed(name, payload)
    if sealed is not None:
        return sealed
    try:
        version = _versions.decode(payload).v
    except _DECODE_ERRORS:
        version = VERSION
    if version != VERSION:
        return of_another_version(name, version, VERSION)
    return refused(f"{name}: the stored bytes are not a job", error)


def _unencodable(job: Any, error: Exception) -> PayloadError:
    cls: Any = job.__class__
    name = cls.__job_name__
    for field in job.__struct_fields__:
        value = getattr(job, field)
        try:
            _encoder.encode(value)
        except _ENCODE_ERRORS as reason:
            return PayloadError(
                f"{name}.{field}: a {type(value).__qualname__} cannot be stored ({reason}). "
                "Store an id and look the object up in handle."
            )
    return PayloadError(f"{name}: {error}")
