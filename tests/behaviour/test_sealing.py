"""Signed and encrypted jobs, and what somebody who can write to the store achieves."""

from __future__ import annotations

import logging

import msgspec
import pytest

from asyncqueue import (
    Context,
    Job,
    JobFailed,
    PayloadError,
    PayloadTooLarge,
    Settings,
    SignatureInvalid,
    State,
)
from asyncqueue.events import JobEvent
from asyncqueue.record import Filter, Record, Settlement, Source
from asyncqueue.testing import drain

from ..recorder import Recorder, until
from .storage import storage_of

SECRET, OLD_SECRET = b"a key for signatures", b"an older one"
KEY, OLD_KEY = b"\x01" * 32, b"\x02" * 32
CANARY = "canary-7f3a"
BOTH = {"signing_keys": [SECRET], "encryption_keys": [KEY]}
ran: list[tuple[str, str]] = []
hooks: list[str] = []


class Pay(Job, name="SealedPay", max_attempts=1):
    to: str
    fails: bool = False

    async def handle(self, ctx: Context) -> str:
        ran.append((ctx.job_id, self.to))
        if self.fails:
            raise ValueError("no money")
        return f"receipt for {self.to}"

    async def failed(self, ctx: Context, error: BaseException) -> None:
        hooks.append(ctx.job_id)


class Refund(Job, name="SealedRefund"):
    to: str
    fails: bool = False

    async def handle(self, ctx: Context) -> None:
        ran.append((ctx.job_id, f"refund {self.to}"))


@pytest.fixture(autouse=True)
def nothing_ran():
    ran.clear()
    hooks.clear()


@pytest.fixture
def storage(request, driver):
    return storage_of(driver.name, request, driver)


async def payload_of(queue, id):
    (stored,) = (await queue.driver.find(Filter(ids=(id,)))).items
    return stored.payload


async def refused(queue, *ids):
    """Let a worker meet these; they must be refused, silently, with all their bytes kept."""
    before = {id: await payload_of(queue, id) for id in ids}
    events = Recorder(queue)
    drained = await drain(queue)
    assert [attempt.id for attempt in drained.attempts] == list(ids)
    assert (ran, hooks, events.of(JobEvent)) == ([], [], [])
    records = [await queue.failed.get(id) for id in ids]
    assert [record.payload for record in records] == list(before.values())
    assert [await payload_of(queue, id) for id in ids] == list(before.values())
    return records


# Signatures


@pytest.mark.case("SEC-01")
@pytest.mark.parametrize("keys", [{"signing_keys": [SECRET]}, BOTH], ids=["signed", "both"])
async def test_untouched_jobs_run(make_queue, keys):
    queue = make_queue(**keys)
    handle = await queue.dispatch(Pay(CANARY))
    await queue.dispatch_many([Pay("b"), Pay("c")])
    await queue.dispatch_named("SealedPay", {"to": "d"})
    assert str(await drain(queue)).startswith("4 completed, 0 failed")
    assert [to for _, to in ran] == [CANARY, "b", "c", "d"]
    assert await handle.result() == f"receipt for {CANARY}"
    assert (await handle.status()).result == f"receipt for {CANARY}"


@pytest.mark.case("SEC-01")
async def test_altered_ones_go_to_the_failed_store(make_queue, storage):
    queue = make_queue(signing_keys=[SECRET])
    handle = await queue.dispatch(Pay("alice"))
    stored = await payload_of(queue, handle.id)
    await storage.write(handle.id, payload=stored.replace(b"alice", b"mallo"))
    (record,) = await refused(queue, handle.id)
    assert record.error.startswith("SignatureInvalid: SealedPay: no key of this queue")
    assert (record.attempts, record.name) == (1, "SealedPay")


@pytest.mark.case("SEC-01")
async def test_bytes_that_belong_to_another_job_are_refused(make_queue, storage):
    """Under another kind, or in the place of another job of the same kind."""
    queue = make_queue(signing_keys=[SECRET])
    one, other = await queue.dispatch_many([Pay("one"), Pay("other")])
    third = await queue.dispatch(Pay("third"))
    payloads = [await payload_of(queue, handle.id) for handle in (one, other)]
    await storage.write(one.id, payload=payloads[1])
    await storage.write(other.id, payload=payloads[0])
    await storage.write(third.id, name="SealedRefund")
    for record in await refused(queue, one.id, other.id, third.id):
        assert record.error.startswith("SignatureInvalid: ")


async def test_a_copy_under_an_id_of_its_own_is_refused(make_queue):
    queue = make_queue(signing_keys=[SECRET])
    handle = await queue.dispatch(Pay("once"))
    stolen = await payload_of(queue, handle.id)
    await drain(queue)
    ran.clear()
    await queue.driver.enqueue([Record("replayed", "default", "SealedPay", stolen)])
    await refused(queue, "replayed")


async def test_what_is_not_signed_may_be_changed(make_queue, storage):
    """How often, where and when it runs is the business of those who look after the store."""
    queue = make_queue(signing_keys=[SECRET])
    handle = await queue.dispatch(Pay("x", fails=True))
    await storage.write(handle.id, max_attempts=2)
    assert (await drain(queue)).retried == 1
    assert ran == [(handle.id, "x")]


async def test_a_job_may_be_moved_to_another_queue(make_queue):
    queue = make_queue(**BOTH)
    handle = await queue.dispatch(Pay("x"))
    stored = await payload_of(queue, handle.id)
    assert await queue.clear("default") == 1
    await queue.driver.enqueue([Record(handle.id, "elsewhere", "SealedPay", stored)])
    assert (await drain(queue)).completed == 1
    assert ran == [(handle.id, "x")]


@pytest.mark.case("SEC-02")
@pytest.mark.parametrize("keys", [{"signing_keys": [SECRET]}, BOTH], ids=["signed", "both"])
async def test_signed_ones_are_refused_without_a_key(make_queue, keys):
    handle = await make_queue(**keys).dispatch(Pay("x"))
    (record,) = await refused(make_queue(), handle.id)
    assert record.error.startswith("SignatureInvalid: SealedPay: it is signed, and this queue has")


@pytest.mark.case("SEC-02")
@pytest.mark.parametrize("keys", [{"signing_keys": [SECRET]}, BOTH], ids=["signed", "both"])
async def test_unsigned_ones_are_refused_with_a_key(make_queue, keys):
    handle = await make_queue().dispatch(Pay("x"))
    (record,) = await refused(make_queue(**keys), handle.id)
    assert record.error.startswith("SignatureInvalid: SealedPay: it is not signed")


@pytest.mark.case("SEC-01", "SEC-02", "FLD-06")
async def test_the_worker_goes_on(make_queue, make_worker, storage, caplog):
    queue = make_queue(**BOTH)
    events = Recorder(queue)
    first, second, third = await queue.dispatch_many([Pay("1"), Pay("2"), Pay("3")])
    await storage.write(second.id, payload=b"\xc1\x01" + b"\0" * 50)
    async with make_worker(on=queue):
        await until(lambda: len(ran) == 2)
        await third.result(5)
    assert [id for id, _ in ran] == [first.id, third.id]
    assert (await second.status()).state is State.FAILED
    assert events.of(JobFailed) == []
    assert hooks == []
    (logged,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert logged.getMessage().startswith(f"SealedPay {second.id} on default")
    assert "failed for good: SignatureInvalid" in logged.getMessage()


async def test_retried_unchanged_it_is_refused_again_and_restored_it_runs(make_queue, storage):
    queue = make_queue(signing_keys=[SECRET])
    handle = await queue.dispatch(Pay("x"))
    stored = await payload_of(queue, handle.id)
    await storage.write(handle.id, payload=stored[:-1] + b"\0")
    await refused(queue, handle.id)
    await queue.failed.retry(handle.id)
    await refused(queue, handle.id)
    await storage.write(handle.id, payload=stored)
    await queue.failed.retry(handle.id)
    assert (await drain(queue)).completed == 1


async def test_signing_keys_change_without_a_job_being_lost(make_queue):
    before = make_queue(signing_keys=[OLD_SECRET])
    during = make_queue(signing_keys=[SECRET, OLD_SECRET])
    after = make_queue(signing_keys=[SECRET])
    await before.dispatch(Pay("before"))
    assert (await drain(during)).completed == 1
    await during.dispatch(Pay("during"))
    assert (await drain(after)).completed == 1
    late = await before.dispatch(Pay("late"))
    ran.clear()
    (record,) = await refused(after, late.id)
    assert "the key that signed it was removed too early" in record.error


@pytest.mark.case("TRC-05")
async def test_a_signed_envelope_from_before_traces_runs(make_queue):
    """Its bytes are verified as they are, whatever fields came since."""
    queue = make_queue(signing_keys=[SECRET])
    traces = []

    async def note(ctx, call_next):
        traces.append(ctx.trace)
        return await call_next()

    envelope = msgspec.msgpack.encode({"v": 1, "data": {"to": "x"}})
    stored = queue.seal.close("SealedPay", "old", envelope)
    await (await queue.ready()).enqueue([Record("old", "default", "SealedPay", stored)])
    assert (await drain(queue, middleware=[note])).completed == 1
    assert traces == [None]


# Encryption


def decoded(record):
    return (record.id, record.name, record.queue, record.payload)


@pytest.mark.case("SEC-03")
@pytest.mark.parametrize(
    "keys", [{"encryption_keys": [KEY]}, BOTH], ids=["encrypted", "signed too"]
)
async def test_data_is_unreadable_live_and_failed(make_queue, storage, keys):
    queue, stranger = make_queue(**keys), make_queue()
    waiting = await queue.dispatch(Pay(CANARY), delay=60, priority=5, queue="bank")
    failing = await queue.dispatch(Pay(CANARY, fails=True))
    assert CANARY.encode() not in await storage.dump()
    assert (await drain(queue)).failed == 1
    dump = await storage.dump()
    assert CANARY.encode() not in dump
    assert waiting.id.encode() in dump
    # Who holds no keys can still look after them.
    info = await stranger.status(waiting.id)
    assert (info.name, info.queue, info.priority) == ("SealedPay", "bank", 5)
    assert (await stranger.failed.list()).total == 1
    hidden = await stranger.failed.get(failing.id)
    assert isinstance(hidden.payload, bytes)
    # Who holds them sees what was dispatched.
    payload = {"to": CANARY, "fails": True}
    assert decoded(await queue.failed.get(failing.id)) == (
        failing.id,
        "SealedPay",
        "default",
        payload,
    )
    assert [one.payload for one in (await queue.failed.list()).items] == [payload]
    assert ran == [(failing.id, CANARY)]
    await queue.failed.retry(failing.id)
    assert (await drain(queue)).failed == 1
    assert ran == [(failing.id, CANARY)] * 2
    assert hooks == [failing.id] * 2


@pytest.mark.case("SEC-03")
async def test_results_are_unreadable_too(make_queue, storage):
    queue, stranger = make_queue(**BOTH), make_queue()
    handle = await queue.dispatch(Pay(CANARY))
    await drain(queue)
    assert CANARY.encode() not in await storage.dump()
    assert (await queue.status(handle.id)).result == f"receipt for {CANARY}"
    assert isinstance((await stranger.status(handle.id)).result, bytes)
    assert [isinstance(job.result, bytes) for job in (await stranger.jobs()).items] == [True]


async def test_a_result_that_somebody_wrote_is_not_believed(make_queue, storage):
    queue = make_queue(signing_keys=[SECRET])
    one, other = await queue.dispatch_many([Pay("one"), Pay("other")])
    await drain(queue)
    (stored,) = (await queue.driver.find(Filter(ids=(other.id,)))).items
    for forged in (msgspec.msgpack.encode("receipt for 1,000,000"), stored.result, b"\xff", b""):
        await storage.write(one.id, result=forged)
        with pytest.raises(SignatureInvalid):
            await one.result()
        assert (await one.status()).result == forged


async def test_a_result_that_cannot_be_read_hides_no_other_job(make_queue, storage):
    queue = make_queue()
    one, other = await queue.dispatch_many([Pay("one"), Pay("other")])
    await drain(queue)
    await storage.write(one.id, result=b"\xff\xff")
    with pytest.raises(PayloadError, match="SealedPay: the stored result cannot be read"):
        await one.result()
    results = {job.id: job.result for job in (await queue.jobs()).items}
    assert results == {one.id: b"\xff\xff", other.id: "receipt for other"}


async def test_unique_keys_give_nothing_away_and_are_held_still(make_queue, storage):
    class Once(Pay, name="SealedOnce", unique=lambda job: job.to):
        pass

    queue = make_queue(**BOTH)
    first, second = await queue.dispatch(Once(CANARY)), await queue.dispatch(Once(CANARY))
    other = await queue.dispatch(Once("somebody else"))
    assert (first.duplicate, second.duplicate, second.id) == (False, True, first.id)
    assert not other.duplicate
    assert CANARY.encode() not in await storage.dump()
    await drain(queue)
    assert not (await queue.dispatch(Once(CANARY))).duplicate


@pytest.mark.case("SEC-04")
async def test_signed_ones_from_before_encryption_run_and_unsigned_ones_do_not(make_queue):
    signing, both = make_queue(signing_keys=[SECRET]), make_queue(**BOTH)
    signed, unsigned = await signing.dispatch(Pay("x")), await make_queue().dispatch(Pay("y"))
    assert str(await drain(both)).startswith("1 completed, 1 failed")
    assert ran == [(signed.id, "x")]
    record = await both.failed.get(unsigned.id)
    assert record.error.startswith("SignatureInvalid: ")
    assert isinstance(record.payload, bytes)


@pytest.mark.case("SEC-04")
async def test_with_encryption_alone_plain_ones_are_refused(make_queue):
    """Else nobody who writes to the store would need a key."""
    handle = await make_queue().dispatch(Pay("x"))
    (record,) = await refused(make_queue(encryption_keys=[KEY]), handle.id)
    assert "sign first (QUEUE_SIGNING_KEYS)" in record.error


async def test_encrypted_ones_need_the_key(make_queue):
    handle = await make_queue(encryption_keys=[KEY]).dispatch(Pay("x"))
    (record,) = await refused(make_queue(), handle.id)
    assert record.error.startswith("PayloadError: SealedPay: it is encrypted, and this queue has")
    await make_queue().failed.retry(handle.id)
    (record,) = await refused(make_queue(encryption_keys=[OLD_KEY]), handle.id)
    assert "which is none of this queue's (QUEUE_ENCRYPTION_KEYS)" in record.error


async def test_encrypted_bytes_cannot_be_altered_or_moved(make_queue, storage):
    queue = make_queue(encryption_keys=[KEY])
    one, other, third = await queue.dispatch_many([Pay("one"), Pay("other"), Pay("third")])
    stored = await payload_of(queue, one.id)
    await storage.write(one.id, payload=stored[:-1] + bytes([stored[-1] ^ 1]))
    await storage.write(other.id, payload=stored)
    await storage.write(third.id, name="SealedRefund")
    for record in await refused(queue, one.id, other.id, third.id):
        assert record.error.startswith("SignatureInvalid: ")


async def test_encryption_keys_change_without_a_job_being_lost(make_queue):
    before = make_queue(encryption_keys=[OLD_KEY])
    during = make_queue(encryption_keys=[KEY, OLD_KEY])
    after = make_queue(encryption_keys=[KEY.hex()])
    failing = await before.dispatch(Pay("before", fails=True))
    assert (await drain(during)).failed == 1
    assert (await during.failed.get(failing.id)).payload == {"to": "before", "fails": True}
    await during.dispatch(Pay("during"))
    assert (await drain(after)).completed == 1


# Whatever is in the store


def forgeries(queue, id, stored):
    """Bytes that somebody may write over a job, and what the failed store shows of them."""

    def envelope(**fields):
        return queue.seal.close("SealedPay", id, msgspec.msgpack.encode(fields))

    deep = msgspec.Raw(b"\x91" * 9_000 + b"\x90")
    hidden = {
        "nothing": b"",
        "cut": stored[:-1],
        "half": stored[: len(stored) // 2],
        "doubled": stored + stored,
        "shifted": stored[1:],
        "sealed in a way to come": b"\xc1\x07" + stored,
        "sealed twice": queue.seal.close("SealedPay", id, b"\xc1\x01" + stored),
        "a later version": envelope(v=99, payload=CANARY),
        "another version of ours": envelope(v=2, data={"to": CANARY}),
        "no version": envelope(data={"to": CANARY}),
        "deep": envelope(v=1, data=deep),
        "a bomb": b"\x91" * 1_000_000,
        "too large": envelope(v=1, data={"to": CANARY * 1_000}),
        "a pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    }
    shown = {
        "other types": ({"to": [CANARY]}, envelope(v=1, data={"to": [CANARY]})),
        "a field too few": ({"fails": True}, envelope(v=1, data={"fails": True})),
        "no fields at all": (CANARY, envelope(v=1, data=CANARY)),
    }
    return {name: (stored, stored) for name, stored in hidden.items()} | shown


NAMES = [
    *("nothing", "cut", "half", "doubled", "shifted", "sealed in a way to come", "sealed twice"),
    *("a later version", "another version of ours", "no version", "deep", "a bomb", "too large"),
    *("a pickle", "other types", "a field too few", "no fields at all"),
]


@pytest.mark.case("FLD-06", "SEC-01")
@pytest.mark.parametrize("keys", [{}, {"signing_keys": [SECRET]}, BOTH], ids=["no", "sig", "both"])
async def test_nothing_but_jobs_is_run(make_queue, storage, keys, caplog):
    queue = make_queue(settings=Settings(max_payload=10_000), **keys)
    handles = await queue.dispatch_many([Pay(CANARY) for _ in NAMES])
    shown = {}
    for name, handle in zip(NAMES, handles, strict=True):
        stored = await payload_of(queue, handle.id)
        shown[name], forged = forgeries(queue, handle.id, stored)[name]
        await storage.write(handle.id, payload=forged)
    good = await queue.dispatch(Pay("good"))
    drained = await drain(queue)
    assert ran == [(good.id, "good")]
    assert hooks == []
    assert {type(error) for error in drained.errors} <= {
        PayloadError,
        PayloadTooLarge,
        SignatureInvalid,
    }
    for name, handle in zip(NAMES, handles, strict=True):
        record = await queue.failed.get(handle.id)
        assert (name, record.payload) == (name, shown[name])
        assert CANARY not in record.error + record.traceback
    assert CANARY not in caplog.text


@pytest.mark.parametrize("keys", [{"signing_keys": [SECRET]}, BOTH], ids=["signed", "both"])
async def test_nothing_is_decoded_before_it_is_verified(make_queue, storage, keys, monkeypatch):
    queue = make_queue(**keys)
    handle = await queue.dispatch(Pay("x"))
    stored = await payload_of(queue, handle.id)
    await storage.write(handle.id, payload=stored[:-1] + bytes([stored[-1] ^ 1]))
    opened = []
    monkeypatch.setattr("asyncqueue.codec.open_envelope", lambda *given: opened.append(given))
    if queue.seal.key_ids:
        cipher = "asyncqueue.sealing.cipher.Cipher.decrypt"
        monkeypatch.setattr(cipher, lambda *given: opened.append(given))
    await refused(queue, handle.id)
    assert opened == []


async def test_no_key_and_no_payload_is_ever_shown(make_queue, storage, caplog):
    """In logs, errors and reprs, whatever happens to the job."""
    caplog.set_level(logging.DEBUG)
    secret, key = f"{CANARY}-signing", CANARY.ljust(32, "e")
    settings = Settings(signing_keys=(secret,), encryption_keys=(key,))
    queue = make_queue(settings=settings)
    handles = await queue.dispatch_many([Pay(CANARY), Pay(CANARY, fails=True), Pay(CANARY)])
    await storage.write(handles[2].id, payload=b"\x82\xa1v\x01\xa4data\x81\xa2to" + CANARY.encode())
    driver = queue.driver
    claimed = await driver.claim([Source("default")], 1, 30, "somebody")
    texts = [repr(claimed), repr(await driver.find(Filter())), repr(queue), repr(queue.seal)]
    await driver.settle([Settlement(handles[0].id, claimed.claims[0].token, State.PENDING, 0)])
    drained = await drain(queue)
    assert (drained.completed, drained.failed) == (1, 2)
    for handle in handles:
        (stored,) = (await driver.find(Filter(ids=(handle.id,)))).items
        texts += [repr(stored), stored.error or "", stored.traceback or "", repr(handle)]
    texts += [repr(settings), str(settings), caplog.text, repr(drained.errors)]
    assert CANARY not in "".join(texts)


# Chains and batches carry the envelopes of others


@pytest.fixture
def linking_queue(make_queue):
    return make_queue(**BOTH)


async def test_links_of_a_chain_are_sealed_when_their_turn_comes(linking_queue, storage):
    queue = linking_queue
    batch = queue.batch(Pay(CANARY + "2"), Pay(CANARY + "3")).then(Pay(CANARY + "4"))
    chain = queue.chain(Pay(CANARY + "1"), batch, Pay(CANARY + "5", fails=True))
    await chain.catch(Pay(CANARY + "6")).dispatch()
    for _ in range(8):
        assert CANARY.encode() not in await storage.dump()
        drained = await drain(queue, limit=1)
        assert all(isinstance(error, ValueError) for error in drained.errors)
    assert sorted(to for _, to in ran) == [CANARY + str(number) for number in range(1, 7)]
    assert CANARY.encode() not in await storage.dump()
    assert not (await drain(queue)).attempts


async def test_the_rest_of_a_chain_cannot_be_exchanged(linking_queue, storage):
    queue = linking_queue
    one = await queue.chain(Pay("1"), Pay("2")).dispatch()
    other = await queue.chain(Pay("3"), Refund("4")).dispatch()
    await storage.write(one.id, payload=await payload_of(queue, other.id))
    await drain(queue)
    assert [to for _, to in ran] == ["3", "refund 4"]
    assert (await queue.status(one.id)).state is State.FAILED


async def test_a_chain_cannot_grow_beyond_what_workers_read(make_queue):
    """The handler that lets it grow is told: workers would refuse the next job."""

    class Grows(Job, name="SealedGrows", max_attempts=1):
        async def handle(self, ctx: Context) -> None:
            for number in range(40):
                ctx.chain_append(Pay(f"{number}" * 100))

    queue = make_queue(settings=Settings(max_payload=3_000), **BOTH)
    await queue.dispatch(Grows())
    (attempt,) = (await drain(queue)).attempts
    attempt.assert_failed(PayloadTooLarge, match="with the rest of its chain")
