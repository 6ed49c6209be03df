"""Which class a stored kind stands for."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from asyncqueue import codec
from asyncqueue.errors import DuplicateJob, JobError, PayloadError, UnknownJob
from asyncqueue.job import Job
from asyncqueue.registry import Registry, default_registry, fold, register, suggest


class RegisteredEmail(Job):
    """A job of this module."""

    to: str
    copies: int = 1


class RegisteredReport(Job):
    """Another one."""


@pytest.fixture
def registry() -> Registry:
    return Registry()


class TestNames:
    @pytest.mark.case("REG-02")
    @pytest.mark.parametrize(
        "spelling", ["EmailJob", "jobs.EmailJob", "*jobs.EmailJob", "*EmailJob", " a.b.EmailJob "]
    )
    def test_all_spellings_fold_into_one(self, registry: Registry, spelling: str) -> None:
        assert fold(spelling) == "EmailJob"
        registry.register(spelling, RegisteredEmail)
        assert list(registry) == ["EmailJob"]
        for other in ("EmailJob", "jobs.EmailJob", "*jobs.EmailJob"):
            assert other in registry
            assert registry.find(other) is RegisteredEmail

    @pytest.mark.parametrize("name", ["", " ", "*", "jobs."])
    def test_a_name_is_needed(self, registry: Registry, name: str) -> None:
        with pytest.raises(ValueError, match="needs a name"):
            registry.register(name, RegisteredEmail)
        assert len(registry) == 0

    def test_case_matters(self, registry: Registry) -> None:
        registry.register("send", RegisteredEmail)
        assert registry.get("Send") is None


class TestRegister:
    @pytest.mark.case("REG-05")
    def test_a_class_alone_goes_by_its_own_name(self, registry: Registry) -> None:
        class Renamed(Job, name="registered-under-this"):
            pass

        registry.register(Renamed)
        registry.register(RegisteredEmail)
        assert list(registry) == ["RegisteredEmail", "registered-under-this"]

    @pytest.mark.case("REG-12")
    def test_the_same_again_is_a_no_op(self, registry: Registry) -> None:
        registry.register("send", RegisteredEmail)
        registry.register("send", RegisteredEmail)
        assert registry.get("send") is RegisteredEmail

    @pytest.mark.case("REG-09", "REG-12")
    def test_another_one_is_refused_unless_replacing(self, registry: Registry) -> None:
        registry.register("send", RegisteredEmail)
        with pytest.raises(DuplicateJob) as caught:
            registry.register("send", RegisteredReport)
        for part in ('"send"', "RegisteredEmail", "RegisteredReport", "replace=True"):
            assert part in str(caught.value)
        assert registry.get("send") is RegisteredEmail
        registry.register("send", RegisteredReport, replace=True)
        assert registry.get("send") is RegisteredReport

    def test_factories_collide_too(self, registry: Registry) -> None:
        def one() -> Any: ...
        def other() -> Any: ...

        registry.register("send", one)
        registry.register("send", one)
        with pytest.raises(DuplicateJob):
            registry.register("send", other)

    @pytest.mark.parametrize("maker", ["send", 5, RegisteredReport()])
    def test_only_classes_and_factories(self, registry: Registry, maker: Any) -> None:
        with pytest.raises(TypeError):
            registry.register("send", maker)
        assert len(registry) == 0

    def test_a_name_alone_is_not_enough(self, registry: Registry) -> None:
        with pytest.raises(TypeError, match=r"register\('send'\) needs the class"):
            registry.register("send")

    def test_the_name_must_be_text(self, registry: Registry) -> None:
        with pytest.raises(TypeError, match="must be a string, got 5"):
            registry.register(5, RegisteredEmail)

    @pytest.mark.case("REG-16")
    def test_defining_registers_in_the_default_one(self) -> None:
        """Importing the module is enough."""
        assert default_registry.get("RegisteredEmail") is RegisteredEmail

    def test_the_module_function_fills_the_default_one(self) -> None:
        """A name that matches no class is taken as it is."""
        try:
            register("registered-by-function", RegisteredEmail)
            assert default_registry.get("registered-by-function") is RegisteredEmail
        finally:
            default_registry._makers.pop("registered-by-function", None)

    def test_registries_are_strangers(self, registry: Registry) -> None:
        other = Registry()
        other.register("send", RegisteredEmail)
        assert "send" not in registry


class TestLookUp:
    @pytest.mark.case("REG-15")
    def test_get_answers_none(self, registry: Registry) -> None:
        registry.register("send", RegisteredEmail)
        assert registry.get("other") is None
        registry.clear()
        assert registry.get("send") is None
        assert len(registry) == 0

    @pytest.mark.case("REG-03")
    def test_late_registration_counts_from_then_on(self, registry: Registry) -> None:
        assert registry.get("send") is None
        registry.register("send", RegisteredEmail)
        assert registry.get("send") is RegisteredEmail

    @pytest.mark.case("REG-06", "DSP-13")
    def test_find_says_what_is_known(self, registry: Registry) -> None:
        registry.register("send_mail", RegisteredEmail)
        registry.register("report", RegisteredReport)
        with pytest.raises(UnknownJob) as caught:
            registry.find("send_mial")
        assert str(caught.value) == (
            'No job "send_mial" is registered. Did you mean "send_mail"? '
            "Known: report, send_mail. Import the module that defines it before the worker starts."
        )

    @pytest.mark.parametrize("stored", ["", ".", "*", "**", " ", "jobs.", "RegisteredReport/.."])
    def test_a_stored_kind_that_is_no_name_is_unknown(
        self, registry: Registry, stored: str
    ) -> None:
        """Else a worker that hands back what it does not know would fail it."""
        registry.register("report", RegisteredReport)
        assert registry.get(stored) is None
        assert stored not in registry
        with pytest.raises(UnknownJob, match="is registered"):
            registry.find(stored)

    def test_suggestions(self) -> None:
        assert suggest("x", []) == " Known: none."
        assert suggest("zzz", ["b", "a"]) == " Known: a, b."


def sealed(name: str, fields: dict[str, Any], registry: Registry) -> codec.Envelope:
    payload = codec.encode_fields(name, fields, registry.find(name), 1000)
    return codec.open_envelope(name, payload)


class TestFactories:
    FIELDS: ClassVar[dict[str, Any]] = {"to": "a@b", "copies": 2}

    @pytest.mark.case("REG-01")
    def test_one_that_takes_the_payload(self, registry: Registry) -> None:
        registry.register("send", lambda payload: RegisteredEmail(**payload))
        envelope = sealed("send", self.FIELDS, registry)
        assert codec.decode("send", envelope, registry) == RegisteredEmail("a@b", 2)

    @pytest.mark.case("REG-01")
    @pytest.mark.parametrize(
        "factory", [lambda: RegisteredEmail, lambda: RegisteredEmail("template")]
    )
    def test_one_that_gives_the_class_or_a_template(self, registry: Registry, factory: Any) -> None:
        registry.register("send", factory)
        envelope = sealed("send", self.FIELDS, registry)
        assert codec.decode("send", envelope, registry) == RegisteredEmail("a@b", 2)

    def test_what_does_not_fit_the_template_is_a_payload_error(self, registry: Registry) -> None:
        registry.register("send", lambda: RegisteredEmail)
        envelope = sealed("send", {"to": 5}, registry)
        with pytest.raises(PayloadError, match="send: .*expected `str`|send: .*Expected `str`"):
            codec.decode("send", envelope, registry)

    @pytest.mark.case("REG-11")
    @pytest.mark.parametrize("error", [KeyError("to"), TypeError("no"), ValueError("no")])
    def test_its_own_error_is_shown_as_it_is(self, registry: Registry, error: Exception) -> None:
        def fails(payload: Any) -> Any:
            raise error

        registry.register("send", fails)
        envelope = sealed("send", self.FIELDS, registry)
        with pytest.raises(type(error)) as caught:
            codec.decode("send", envelope, registry)
        assert caught.value is error

    @pytest.mark.parametrize("made", [None, 5, dict])
    def test_it_must_give_a_job(self, registry: Registry, made: Any) -> None:
        registry.register("send", lambda payload: made)
        envelope = sealed("send", self.FIELDS, registry)
        with pytest.raises(JobError, match="must give a job"):
            codec.decode("send", envelope, registry)

    @pytest.mark.case("REG-06", "REG-10")
    def test_an_unknown_kind(self, registry: Registry) -> None:
        envelope = codec.open_envelope("x", codec.encode(RegisteredReport(), 1000))
        with pytest.raises(UnknownJob, match='No job "RegisteredReport"'):
            codec.decode("RegisteredReport", envelope, registry)
