"""What is stored of a job, made and checked with the queue's keys.

An envelope is MessagePack and begins with a map. Sealed bytes begin with 0xC1, which MessagePack
never uses, and a byte that says how they are sealed::

    signed      C1 01, HMAC-SHA256 of 32 bytes, then the envelope or encrypted bytes
    encrypted   C1 02, id of the key (8 bytes), nonce (12), the envelope by AES-256-GCM

Signature and encryption hold for one purpose (job or result), one kind and one id: bytes that
were moved to another job are refused as altered ones are. They are encrypted first and signed
then, so nothing is decrypted, let alone decoded, before its signature was verified.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from asyncqueue.errors import JobError, PayloadError, PayloadTooLarge, SignatureInvalid
from asyncqueue.sealing.cipher import OVERHEAD, AlteredText, Cipher, UnknownKey
from asyncqueue.sealing.keys import encryption_key, signing_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.record import Record

_SEALED: Final = b"\xc1"
_SIGNED: Final = _SEALED + b"\x01"
_ENCRYPTED: Final = _SEALED + b"\x02"
_MAC: Final = 32
_MOST_ADDED: Final = len(_SIGNED) + _MAC + len(_ENCRYPTED) + OVERHEAD
_JOB: Final = b"job"
_RESULT: Final = b"result"


class Seal:
    """Makes stored bytes of an envelope or a result, and the reverse. This one has no keys.

    Opening raises ``PayloadTooLarge`` over ``max_payload`` bytes, before anything else is done.
    """

    signing: tuple[int, ...] = ()
    """How long the keys are that it signs and verifies with, in bytes."""

    def __init__(self, max_payload: int) -> None:
        self._most = max_payload

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys it encrypts and decrypts with."""
        return []

    def closed(self, records: list[Record]) -> list[Record]:
        """Records as they are stored; for all that are handed to a driver, once.

        Until then their payloads are plain envelopes, also those that travel in the envelope of
        another job. Uniqueness keys stay readable only where payloads do.
        """
        return records

    def close(self, name: str, id: str, envelope: bytes) -> bytes:
        """The bytes to store as the payload of the job ``id`` of kind ``name``."""
        return envelope

    def open(self, name: str, id: str, stored: bytes) -> bytes:
        """The envelope in the payload of a job.

        Raises :class:`~asyncqueue.errors.SignatureInvalid` and ``PayloadError``.
        """
        if len(stored) > self._most:
            raise _too_large(name, stored, self._most)
        return stored

    def close_result(self, name: str, id: str, result: bytes) -> bytes:
        """The bytes to store as the result of a job."""
        return result

    def open_result(self, name: str, id: str, stored: bytes) -> bytes:
        """The encoded result in what is stored of a job. Of any size; else as :meth:`open`."""
        error = explain_sealed(name, stored)
        if error is not None:
            raise error
        return stored


class _KeyedSeal(Seal):
    """A seal with keys for one or both."""

    def __init__(
        self, max_payload: int, signing: Sequence[bytes], encryption: Sequence[bytes]
    ) -> None:
        super().__init__(max_payload + _MOST_ADDED)
        self.signing = tuple(map(len, signing))
        self._signing = tuple(signing)
        self._cipher = Cipher(encryption) if encryption else None

    @property
    def key_ids(self) -> list[str]:
        return [] if self._cipher is None else self._cipher.key_ids

    def closed(self, records: list[Record]) -> list[Record]:
        return [
            replace(
                record,
                payload=self.close(record.name, record.id, record.payload),
                key=self._key(record),
            )
            for record in records
        ]

    def close(self, name: str, id: str, envelope: bytes) -> bytes:
        return self._close(_context(_JOB, name, id), envelope)

    def open(self, name: str, id: str, stored: bytes) -> bytes:
        return self._open(_JOB, name, id, super().open(name, id, stored))

    def close_result(self, name: str, id: str, result: bytes) -> bytes:
        return self._close(_context(_RESULT, name, id), result)

    def open_result(self, name: str, id: str, stored: bytes) -> bytes:
        return self._open(_RESULT, name, id, stored)

    def _key(self, record: Record) -> str | None:
        if record.key is None or self._cipher is None:
            return record.key
        return f"{record.name}:{self._cipher.blind(record.key)}"

    def _close(self, context: bytes, data: bytes) -> bytes:
        if self._cipher is not None:
            data = _ENCRYPTED + self._cipher.encrypt(context, data)
        if self._signing:
            data = _SIGNED + _signature(self._signing[0], context, data) + data
        return data

    def _open(self, purpose: bytes, name: str, id: str, stored: bytes) -> bytes:
        context = _context(purpose, name, id)
        if self._signing:
            stored = self._verified(name, context, stored)
        elif stored.startswith(_SIGNED):
            raise _signed_for_others(name)
        if stored.startswith(_ENCRYPTED):
            return self._decrypted(name, context, stored[len(_ENCRYPTED) :])
        if not self._signing:
            # Whoever can write to the store would need no key, if it ran what is not encrypted.
            raise SignatureInvalid(
                f"{name}: it is not encrypted, and this queue runs nothing that was not encrypted "
                "with one of its keys, or signed. To switch encryption on while jobs wait, sign "
                "first (QUEUE_SIGNING_KEYS)."
            )
        return stored

    def _verified(self, name: str, context: bytes, stored: bytes) -> bytes:
        if not stored.startswith(_SIGNED):
            raise SignatureInvalid(
                f"{name}: it is not signed, and this queue runs only what is signed with one of "
                "its keys (QUEUE_SIGNING_KEYS). Dispatch it again through a queue that has them."
            )
        start = len(_SIGNED) + _MAC
        signature, data = stored[len(_SIGNED) : start], stored[start:]
        matches = [
            hmac.compare_digest(signature, _signature(key, context, data)) for key in self._signing
        ]
        if not any(matches):
            raise SignatureInvalid(
                f"{name}: no key of this queue (QUEUE_SIGNING_KEYS) has made its signature. It was "
                "altered in the store or moved to another job; or the key that signed it was "
                "removed too early."
            )
        return data

    def _decrypted(self, name: str, context: bytes, data: bytes) -> bytes:
        if self._cipher is None:
            raise _encrypted_for_others(name)
        try:
            return self._cipher.decrypt(context, data)
        except UnknownKey as error:
            raise PayloadError(
                f"{name}: it is encrypted with the key {error}, which is none of this queue's "
                f"(QUEUE_ENCRYPTION_KEYS): {', '.join(self.key_ids)}."
            ) from None
        except AlteredText:
            raise SignatureInvalid(
                f"{name}: its encrypted bytes were altered in the store, or moved to another job."
            ) from None


def seal_of(
    signing_keys: Sequence[str | bytes], encryption_keys: Sequence[str | bytes], max_payload: int
) -> Seal:
    """The seal with these keys.

    Raises :class:`~asyncqueue.errors.ConfigError` for keys that cannot be used, and where the
    cryptography package is missing.
    """
    if not signing_keys and not encryption_keys:
        return Seal(max_payload)
    return _KeyedSeal(
        max_payload,
        [signing_key(key) for key in signing_keys],
        [encryption_key(key) for key in encryption_keys],
    )


def explain_sealed(name: str, stored: bytes) -> JobError | None:
    """Why bytes are unreadable without keys; None where they are not sealed."""
    if stored.startswith(_SIGNED):
        return _signed_for_others(name)
    if stored.startswith(_ENCRYPTED):
        return _encrypted_for_others(name)
    if stored.startswith(_SEALED):
        return PayloadError(
            f"{name}: it is sealed in a way that this version does not know. Run it with the "
            "version that wrote it, or upgrade."
        )
    return None


def _context(purpose: bytes, name: str, id: str) -> bytes:
    """What a seal holds for. With their lengths, no two of them are the same bytes."""
    kind, job = name.encode(errors="surrogatepass"), id.encode(errors="surrogatepass")
    return b"asyncqueue 1 %b %d %b %d %b" % (purpose, len(kind), kind, len(job), job)


def _signature(key: bytes, context: bytes, data: bytes) -> bytes:
    return hmac.digest(key, b"%d %b%b" % (len(context), context, data), "sha256")


def _too_large(name: str, stored: bytes, most: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{name}: {len(stored):,} bytes are stored, over the {most:,} that this queue reads "
        "(QUEUE_MAX_PAYLOAD)."
    )


def _signed_for_others(name: str) -> SignatureInvalid:
    return SignatureInvalid(
        f"{name}: it is signed, and this queue has no keys to verify that. Give it the keys of "
        "those who dispatch (QUEUE_SIGNING_KEYS)."
    )


def _encrypted_for_others(name: str) -> PayloadError:
    return PayloadError(
        f"{name}: it is encrypted, and this queue has no keys to decrypt it. Give it the keys of "
        "those who dispatch (QUEUE_ENCRYPTION_KEYS)."
    )
