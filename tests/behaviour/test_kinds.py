"""Kinds: what producers and consumers call a job, and what comes of calling it differently."""

from __future__ import annotations

import sys
import types

import pytest

from asyncqueue import Context, Job, Registry, State, job
from asyncqueue.registry import default_registry

from ..recorder import PATIENCE


class Mailer:
    """What is alive where a job runs, and cannot be stored."""

    def __init__(self):
        self.sent = []


@pytest.fixture
def elsewhere(driver, make_queue):
    """A queue in another process: the same store, another registry."""

    def elsewhere(**makers):
        registry = Registry()
        for name, maker in makers.items():
            registry.register(name, maker)
        return make_queue(driver, registry=registry)

    return elsewhere


@pytest.mark.case("REG-01")
async def test_a_factory_elsewhere_rebuilds_what_a_class_was_dispatched_as(
    queue, elsewhere, make_worker
):
    class Sends(Job):
        to: str
        copies: list[int]

        async def handle(self, ctx: Context) -> bool:
            return self == Sends("a@b", [1, 2])

    built = []

    def factory(payload):
        built.append(payload)
        return Sends(**payload)

    handle = await queue.dispatch(Sends("a@b", [1, 2]))
    async with make_worker(on=elsewhere(Sends=factory)):
        assert await handle.result(PATIENCE) is True
    assert built == [{"to": "a@b", "copies": [1, 2]}]


@pytest.mark.case("REG-04", "DEP-02")
async def test_data_travels_and_services_are_those_of_the_consumer(
    make_queue, elsewhere, make_worker
):
    class Sends(Job):
        to: str

        async def handle(self, ctx: Context, mailer: Mailer) -> None:
            ctx.logger.info("sending")
            mailer.sent.append((self.to, ctx.get("db")))

    here, there = Mailer(), Mailer()
    handle = await make_queue(services=[here]).dispatch(Sends("a@b"))
    consumer = elsewhere(Sends=Sends)
    async with make_worker(on=consumer, services={"mailer": there, "db": "its database"}):
        await handle.result(PATIENCE)
    assert (here.sent, there.sent) == ([], [("a@b", "its database")])


@pytest.mark.case("REG-06", "REG-07")
async def test_a_name_that_fits_no_class_leaves_the_class_unknown(queue, elsewhere, make_worker):
    class SendEmail(Job):
        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(SendEmail())
    consumer = elsewhere(SendEmial=SendEmail)
    await make_worker(on=consumer, stop_when_empty=True).run()
    assert (await queue.failed.get(handle.id)).error.startswith("UnknownJob: ")
    assert (await handle.status()).state is State.FAILED


@pytest.mark.case("REG-08")
async def test_a_kind_with_its_own_name_outlives_the_name_of_its_class(
    queue, elsewhere, make_worker
):
    class Old(Job, name="send"):
        n: int

        async def handle(self, ctx: Context) -> None: ...

    handle = await queue.dispatch(Old(5))
    del default_registry._makers["send"]

    class New(Job, name="send"):
        n: int

        async def handle(self, ctx: Context) -> str:
            return f"new {self.n}"

    async with make_worker():
        assert await handle.result(PATIENCE) == "new 5"


@pytest.mark.case("REG-14")
async def test_a_function_under_a_name_gets_the_context_and_its_fields(queue, make_worker):
    @job(queue="emails", name="send_welcome_email")
    async def send(ctx: Context, user_id: int, email: str) -> list:
        return [ctx.job_name, user_id, email]

    handle = await queue.dispatch_named("send_welcome_email", {"user_id": 7, "email": "a@b"})
    async with make_worker("emails"):
        assert await handle.result(PATIENCE) == ["send_welcome_email", 7, "a@b"]


MODULE = """
from asyncqueue import Context, Job

class DeclaredOne(Job):
    async def handle(self, ctx: Context) -> int:
        return 1

class DeclaredTwo(Job):
    async def handle(self, ctx: Context) -> int:
        return 2

class DeclaredThree(Job):
    async def handle(self, ctx: Context) -> int:
        return 3
"""


@pytest.mark.case("REG-16")
async def test_importing_a_module_declares_its_jobs(queue, make_worker, monkeypatch):
    module = types.ModuleType("declared_jobs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(MODULE, vars(module))
    names = ("DeclaredOne", "DeclaredTwo", "DeclaredThree")
    handles = [await queue.dispatch_named(name, {}) for name in names]
    async with make_worker():
        assert [await handle.result(PATIENCE) for handle in handles] == [1, 2, 3]


def answering(text):
    class Answers(Job, name="AnswersAnew", replace=True):
        async def handle(self, ctx: Context) -> str:
            return text

    return Answers


async def test_a_class_that_takes_the_place_of_another_is_run_from_then_on(queue, make_worker):
    """By a worker, too, that has run jobs of the other."""
    job_class = answering("before")
    async with make_worker():
        assert await (await queue.dispatch(job_class())).result(PATIENCE) == "before"
        answering("after")
        assert await (await queue.dispatch(job_class())).result(PATIENCE) == "after"
