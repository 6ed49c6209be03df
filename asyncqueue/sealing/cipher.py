"""Encryption: AES-256-GCM of the cryptography package, with a key of its own for each job."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ID: Final = 8
_NONCE: Final = 12
_TAG: Final = 16
OVERHEAD: Final = _ID + _NONCE + _TAG
"""Bytes that encryption adds."""


class UnknownKey(Exception):  # noqa: N818 - as `UnknownJob`
    """None of the keys is the one it was encrypted with. Its text is the id of that one."""


class AlteredText(Exception):  # noqa: N818
    """It was altered, or encrypted for something else."""


class Cipher:
    """Encrypts with the first of its keys and decrypts with all of them.

    What it makes begins with the id of the key. ``context`` says what the data is and whose: it
    is not stored, and only with the same one can the data be decrypted again.

    Raises :class:`~asyncqueue.errors.ConfigError` where the cryptography package is missing.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._aead = _aead()
        self._keys = {key_id(key): key for key in keys}
        self._first = key_id(keys[0])
        self._blinding = _derived(keys[-1], b"asyncqueue unique keys")

    @property
    def key_ids(self) -> list[str]:
        """What tells the keys apart, in their order; no way back to them."""
        return [id.hex() for id in self._keys]

    def encrypt(self, context: bytes, data: bytes) -> bytes:
        """The data, readable for those who have the key, and only in this context."""
        nonce = os.urandom(_NONCE)
        sealed: bytes = self._of(self._first, context).encrypt(nonce, data, context)
        return self._first + nonce + sealed

    def decrypt(self, context: bytes, stored: bytes) -> bytes:
        """What was encrypted in this context. Raises UnknownKey, AlteredText."""
        id, nonce, sealed = stored[:_ID], stored[_ID : _ID + _NONCE], stored[_ID + _NONCE :]
        if id not in self._keys:
            raise UnknownKey(id.hex())
        if len(sealed) < _TAG:
            raise AlteredText
        try:
            data: bytes = self._of(id, context).decrypt(nonce, sealed, context)
        except self._aead.invalid as error:
            raise AlteredText from error
        return data

    def blind(self, text: str) -> str:
        """A name for the text that says nothing about it without the key.

        Of the last key, which stays longest while keys change.
        """
        return hmac.digest(self._blinding, text.encode(), "sha256")[:16].hex()

    def _of(self, id: bytes, context: bytes) -> Any:
        # Nonces are random: under one key for everything they would begin to repeat after some
        # thousand million jobs. A key for each job leaves that behind.
        return self._aead.algorithm(_derived(self._keys[id], context))


def key_id(key: bytes) -> bytes:
    """What tells a key apart from others; no way back to it."""
    return hashlib.sha256(b"asyncqueue key id:" + key).digest()[:_ID]


def _derived(key: bytes, context: bytes) -> bytes:
    """A key of 32 bytes made of this one: HKDF-Expand (RFC 5869) with SHA-256, one block."""
    return hmac.digest(key, context + b"\x01", "sha256")


class _Aead:
    def __init__(self, algorithm: Any, invalid: type[Exception]) -> None:
        self.algorithm = algorithm
        self.invalid = invalid


def _aead() -> _Aead:
    try:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - 25 ms that few need
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "encryption_keys (QUEUE_ENCRYPTION_KEYS) need the cryptography package: "
            "pip install asyncqueue[encryption]"
        ) from error
    return _Aead(AESGCM, InvalidTag)
