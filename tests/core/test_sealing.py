"""Sealed bytes: what is accepted, what is refused, and that nothing else comes out of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import os
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from asyncqueue.errors import ConfigError, JobError, PayloadError, PayloadTooLarge, SignatureInvalid
from asyncqueue.record import Record
from asyncqueue.sealing import Seal, encryption_key, explain_sealed, seal_of
from asyncqueue.sealing.cipher import Cipher

LIMIT = 1024
ENVELOPE = b"\x82\xa1v\x01\xa4data\x81\xa4name\xa6canary"
NEW, OLD = bytes(range(32)), b"\x07" * 32


def keyed(signing: tuple[str | bytes, ...] = (), encryption: tuple[str | bytes, ...] = ()) -> Seal:
    return seal_of(signing, encryption, LIMIT)


SEALS = {
    "signed": keyed(("secret",)),
    "encrypted": keyed((), (NEW,)),
    "both": keyed(("secret",), (NEW,)),
}
every_seal = pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)


@every_seal
class TestEverySeal:
    def test_it_opens_what_it_closed(self, seal: Seal) -> None:
        stored = seal.close("Mail", "1", ENVELOPE)
        assert seal.open("Mail", "1", stored) == ENVELOPE
        result = seal.close_result("Mail", "1", b"\x2a")
        assert seal.open_result("Mail", "1", result) == b"\x2a"

    @pytest.mark.parametrize(
        ("name", "id"),
        [("Mail", "2"), ("Refund", "1"), ("", ""), ("Mail 1", ""), ("Mai", "l1"), ("\udc80", "1")],
    )
    def test_it_holds_for_one_kind_and_one_id(self, seal: Seal, name: str, id: str) -> None:
        stored = seal.close("Mail", "1", ENVELOPE)
        with pytest.raises(SignatureInvalid):
            seal.open(name, id, stored)

    def test_neighbours_cannot_be_mistaken(self, seal: Seal) -> None:
        """However the kind and the id share the same letters."""
        stored = {id: seal.close("a" * (9 - len(id)), id, ENVELOPE) for id in ("a", "aa", "aaa")}
        for one, other in itertools.permutations(stored, 2):
            with pytest.raises(SignatureInvalid):
                seal.open("a" * (9 - len(other)), other, stored[one])

    def test_a_result_is_no_job_and_a_job_no_result(self, seal: Seal) -> None:
        with pytest.raises(SignatureInvalid):
            seal.open("Mail", "1", seal.close_result("Mail", "1", ENVELOPE))
        with pytest.raises(SignatureInvalid):
            seal.open_result("Mail", "1", seal.close("Mail", "1", ENVELOPE))

    def test_every_bit_counts(self, seal: Seal) -> None:
        stored = seal.close("Mail", "1", ENVELOPE)
        for at, bit in itertools.product(range(len(stored)), range(8)):
            altered = bytearray(stored)
            altered[at] ^= 1 << bit
            with pytest.raises((SignatureInvalid, PayloadError)):
                seal.open("Mail", "1", bytes(altered))

    def test_every_byte_is_needed(self, seal: Seal) -> None:
        stored = seal.close("Mail", "1", ENVELOPE)
        for length in range(len(stored)):
            with pytest.raises((SignatureInvalid, PayloadError)):
                seal.open("Mail", "1", stored[:length])
        with pytest.raises((SignatureInvalid, PayloadError)):
            seal.open("Mail", "1", stored + b"\0")

    def test_it_refuses_what_is_plain(self, seal: Seal) -> None:
        with pytest.raises(SignatureInvalid, match="Mail: it is not"):
            seal.open("Mail", "1", ENVELOPE)
        with pytest.raises(SignatureInvalid, match="Mail: it is not"):
            seal.open_result("Mail", "1", b"\x2a")

    def test_size_comes_first(self, seal: Seal) -> None:
        full = b"\0" * LIMIT
        assert seal.open("Mail", "1", seal.close("Mail", "1", full)) == full
        with pytest.raises(PayloadTooLarge, match="QUEUE_MAX_PAYLOAD"):
            seal.open("Mail", "1", b"\0" * (LIMIT + 200))

    @settings(max_examples=200)
    @given(data=st.data())
    def test_only_our_own_errors_come_out(self, seal: Seal, data: st.DataObject) -> None:
        stored = bytearray(seal.close("Mail", "1", ENVELOPE))
        how = data.draw(st.sampled_from(["overwritten", "cut", "inserted", "random"]))
        at = data.draw(st.integers(0, len(stored) - 1))
        noise = data.draw(st.binary(min_size=1, max_size=9))
        if how == "overwritten":
            stored[at : at + len(noise)] = noise
        elif how == "cut":
            del stored[at:]
        elif how == "inserted":
            stored[at:at] = noise
        else:
            stored[:] = stored[: at % 3] + noise
        if stored != seal.close("Mail", "1", ENVELOPE) or seal.key_ids:
            try:
                assert seal.open("Mail", "1", bytes(stored)) == ENVELOPE
            except (SignatureInvalid, PayloadError) as error:
                assert "canary" not in str(error)  # noqa: PT017
                assert error.__cause__ is None  # noqa: PT017

    def test_queues_without_keys_say_what_it_is(self, seal: Seal) -> None:
        stored = seal.close("Mail", "1", ENVELOPE)
        error = explain_sealed("Mail", stored)
        assert isinstance(error, SignatureInvalid if seal.signing else PayloadError)
        with pytest.raises(type(error)):
            Seal(LIMIT).open_result("Mail", "1", stored)


class TestWithoutKeys:
    def test_bytes_stay_as_they_are(self) -> None:
        seal = seal_of((), (), LIMIT)
        assert seal.close("Mail", "1", ENVELOPE) is ENVELOPE
        assert seal.open("Mail", "1", ENVELOPE) is ENVELOPE
        assert seal.close_result("Mail", "1", ENVELOPE) is ENVELOPE
        assert seal.open_result("Mail", "1", ENVELOPE) is ENVELOPE
        records = [Record("1", "default", "Mail", ENVELOPE, key="Mail:x")]
        assert seal.closed(records) is records
        assert (seal.signing, seal.key_ids) == ((), [])

    def test_nothing_larger_than_a_payload_is_opened(self) -> None:
        seal = Seal(LIMIT)
        assert len(seal.open("Mail", "1", b"\0" * LIMIT)) == LIMIT
        with pytest.raises(PayloadTooLarge, match="Mail: 1,025 bytes are stored, over the 1,024"):
            seal.open("Mail", "1", b"\0" * (LIMIT + 1))

    def test_seals_of_later_versions_are_told_from_garbage(self) -> None:
        error = explain_sealed("Mail", b"\xc1\x09\x01\x02")
        assert isinstance(error, PayloadError)
        assert "a way that this version does not know" in str(error)
        assert explain_sealed("Mail", ENVELOPE) is None
        assert explain_sealed("Mail", b"") is None


class TestKeys:
    def test_the_first_signs_and_all_verify(self) -> None:
        before, during, after = keyed(("old",)), keyed(("new", "old")), keyed(("new",))
        signed_before = before.close("Mail", "1", ENVELOPE)
        signed_during = during.close("Mail", "1", ENVELOPE)
        assert during.open("Mail", "1", signed_before) == ENVELOPE
        assert after.open("Mail", "1", signed_during) == ENVELOPE
        for seal, stored in ((before, signed_during), (after, signed_before)):
            with pytest.raises(SignatureInvalid, match="no key of this queue"):
                seal.open("Mail", "1", stored)

    def test_the_first_encrypts_and_all_decrypt(self) -> None:
        before, during, after = keyed((), (OLD,)), keyed((), (NEW, OLD)), keyed((), (NEW,))
        old, new = before.close("Mail", "1", ENVELOPE), during.close("Mail", "1", ENVELOPE)
        assert during.open("Mail", "1", old) == after.open("Mail", "1", new) == ENVELOPE
        assert during.key_ids == [*after.key_ids, *before.key_ids]
        with pytest.raises(PayloadError, match=f"the key {before.key_ids[0]}, which is none"):
            after.open("Mail", "1", old)

    def test_signed_jobs_of_before_encryption_are_opened_still(self) -> None:
        signed, both = keyed(("k",)), keyed(("k",), (NEW,))
        assert both.open("Mail", "1", signed.close("Mail", "1", ENVELOPE)) == ENVELOPE
        with pytest.raises(SignatureInvalid):
            both.open("Mail", "1", ENVELOPE)
        with pytest.raises(PayloadError, match="no keys to decrypt"):
            signed.open("Mail", "1", both.close("Mail", "1", ENVELOPE))

    def test_encryption_does_not_replace_the_signature(self) -> None:
        encrypted, both = keyed((), (NEW,)), keyed(("k",), (NEW,))
        with pytest.raises(SignatureInvalid, match="it is not signed"):
            both.open("Mail", "1", encrypted.close("Mail", "1", ENVELOPE))
        with pytest.raises(SignatureInvalid, match="no keys to verify"):
            encrypted.open("Mail", "1", both.close("Mail", "1", ENVELOPE))

    @pytest.mark.parametrize(
        "given",
        [
            NEW,
            NEW.hex(),
            NEW.hex().upper(),
            NEW.hex().encode(),
            base64.b64encode(NEW),
            base64.urlsafe_b64encode(NEW).decode(),
            base64.urlsafe_b64encode(NEW).decode().rstrip("="),
        ],
    )
    def test_spellings_of_an_encryption_key(self, given: str | bytes) -> None:
        assert encryption_key(given) == NEW

    def test_both_alphabets_of_base64(self) -> None:
        key = b"\xff\xfe\xfb" * 10 + b"\xff\xff"
        assert encryption_key(base64.b64encode(key)) == key
        assert encryption_key(base64.urlsafe_b64encode(key).decode()) == key

    @pytest.mark.parametrize(
        "given", ["s3cret", b"s3cret", "s3cret\udc80", "s" * 31, "s" * 44, "*" * 43, "s" * 64]
    )
    def test_others_are_refused_unseen(self, given: str | bytes) -> None:
        with pytest.raises(ConfigError) as caught:
            keyed((), (NEW, given))
        text = str(caught.value)
        assert "encryption_keys (QUEUE_ENCRYPTION_KEYS) must be keys of 32 random bytes" in text
        assert "s3cret" not in text
        assert "sss" not in text
        assert "***" not in text
        assert caught.value.__cause__ is None

    def test_a_signing_key_without_bytes(self) -> None:
        with pytest.raises(ConfigError, match=r"signing_keys \(QUEUE_SIGNING_KEYS\)") as caught:
            keyed(("s3cret\udc80",))
        assert "s3cret" not in str(caught.value)

    def test_encryption_needs_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
        with pytest.raises(ConfigError, match=r"pip install asyncqueue\[encryption\]"):
            keyed((), (NEW,))
        assert keyed(("k",)).signing == (1,)


class TestFormat:
    """Written out: the bytes that other versions and other languages have to agree on."""

    def test_signed(self) -> None:
        stored = keyed(("secret",)).close("Mail", "id-1", ENVELOPE)
        context = b"asyncqueue 1 job 4 Mail 4 id-1"
        signature = hmac.new(b"secret", b"30 " + context + ENVELOPE, hashlib.sha256).digest()
        assert stored == b"\xc1\x01" + signature + ENVELOPE

    def test_encrypted(self) -> None:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415
        from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand  # noqa: PLC0415

        stored = keyed((), (NEW,)).close("Mail", "id-1", ENVELOPE)
        context = b"asyncqueue 1 job 4 Mail 4 id-1"
        key = HKDFExpand(hashes.SHA256(), 32, context).derive(NEW)
        head, key_id, nonce, text = stored[:2], stored[2:10], stored[10:22], stored[22:]
        assert head == b"\xc1\x02"
        assert key_id == hashlib.sha256(b"asyncqueue key id:" + NEW).digest()[:8]
        assert AESGCM(key).decrypt(nonce, text, context) == ENVELOPE

    @pytest.mark.case("TRC-05")
    def test_a_signature_from_before_stays_valid(self) -> None:
        """Whatever fields later versions add."""
        stored = bytes.fromhex(
            "c1010ce270056b7b4288d0a4985013e0b7f5f3afa44f325f942783db5a83a75664dd"
            "82a17601a46461746181a46e616d65a663616e617279"
        )
        assert keyed(("secret",)).open("Mail", "id-1", stored) == ENVELOPE


class TestCipher:
    def test_the_same_text_never_looks_the_same(self) -> None:
        cipher = Cipher([NEW])
        texts = {cipher.encrypt(b"context", ENVELOPE) for _ in range(100)}
        assert len(texts) == len({text[8:20] for text in texts}) == 100
        assert not any(b"canary" in text for text in texts)

    def test_each_context_has_a_key_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A nonce that came twice would tell nothing of two jobs."""
        monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
        cipher = Cipher([NEW])
        one, other = cipher.encrypt(b"1", bytes(64)), cipher.encrypt(b"2", bytes(64))
        assert one[:20] == other[:20]
        assert one[20:84] != other[20:84]


class TestRecords:
    RECORD = Record("1", "mails", "Mail", ENVELOPE, priority=5, key="Mail:ada@example.com")

    def closed(self, seal: Seal) -> Record:
        (record,) = seal.closed([self.RECORD])
        return record

    @every_seal
    def test_a_copy_is_sealed(self, seal: Seal) -> None:
        """The record itself may go into a chain, or be stored again."""
        record = self.closed(seal)
        assert self.RECORD.payload is ENVELOPE
        assert seal.open("Mail", "1", record.payload) == ENVELOPE
        assert (record.queue, record.priority) == ("mails", 5)

    def test_encrypted_unique_keys_say_nothing(self) -> None:
        key = self.closed(keyed((), (NEW,))).key
        assert key is not None
        assert re.fullmatch("Mail:[0-9a-f]{32}", key)
        assert key == self.closed(keyed((), (NEW,))).key
        assert key == self.closed(keyed((), (OLD, NEW))).key
        assert key != self.closed(keyed((), (OLD,))).key
        other = replace(self.RECORD, key="Mail:bob@example.com")
        assert key != keyed((), (NEW,)).closed([other])[0].key

    def test_signed_ones_stay_as_they_are(self) -> None:
        assert self.closed(keyed(("k",))).key == "Mail:ada@example.com"

    @every_seal
    def test_no_key_is_no_key(self, seal: Seal) -> None:
        assert seal.closed([replace(self.RECORD, key=None)])[0].key is None


def test_every_refusal_is_an_error_of_a_job() -> None:
    assert issubclass(SignatureInvalid, JobError)
    assert not issubclass(SignatureInvalid, PayloadError)
