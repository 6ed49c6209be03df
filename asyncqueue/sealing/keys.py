"""Keys as they are given in settings, and as they are used. No message ever shows one."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from asyncqueue.errors import ConfigError

KEY_BYTES: Final = 32
_HEX: Final = 2 * KEY_BYTES
_BASE64: Final = 43
"""Characters of 32 bytes in base64, without padding."""


def signing_key(given: str | bytes) -> bytes:
    """The bytes of a key for signatures, which may be any text or bytes.

    Raises :class:`~asyncqueue.errors.ConfigError` for text that has no bytes.
    """
    if isinstance(given, bytes):
        return given
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            "signing_keys (QUEUE_SIGNING_KEYS) must be text or bytes; one of them is text that is "
            "no UTF-8. It is not shown here."
        ) from None


def encryption_key(given: str | bytes) -> bytes:
    """The 32 bytes of a key for encryption: as they are, as 64 hex digits, or in base64.

    Raises :class:`~asyncqueue.errors.ConfigError` for anything else.
    """
    key = given if isinstance(given, bytes) else given.encode(errors="replace")
    if len(key) == KEY_BYTES:
        return key
    try:
        if len(key) == _HEX:
            return binascii.unhexlify(key)
        digits = key.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        if len(digits) == _BASE64:
            return base64.b64decode(digits + b"=", validate=True)
    except binascii.Error:
        pass
    raise ConfigError(
        "encryption_keys (QUEUE_ENCRYPTION_KEYS) must be keys of 32 random bytes: as bytes, as 64 "
        f"hex digits or in base64; one of them is {len(key)} bytes long. It is not shown here. "
        '`python -c "import secrets; print(secrets.token_hex(32))"` makes one.'
    )
