"""Texts of any origin, as PostgreSQL can keep them."""

from __future__ import annotations


def storable(text: str | None) -> str | None:
    """The text, with what no database text can hold replaced: NUL and lone surrogates."""
    if text is None:
        return None
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text
