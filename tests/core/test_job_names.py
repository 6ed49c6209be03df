"""The kinds under which job classes register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.errors import DuplicateJob
from asyncqueue.job import Job, JobMeta

if TYPE_CHECKING:
    from asyncqueue.registry import Registry

pytestmark = pytest.mark.usefixtures("own_registry")


def define(
    class_name: str = "Defined", /, fields: dict[str, Any] | None = None, **keywords: Any
) -> Any:
    """A class statement with these annotations and keywords."""
    return JobMeta(class_name, (Job,), {"__annotations__": fields or {}}, **keywords)


class TestNames:
    @pytest.mark.case("REG-02", "REG-05")
    def test_a_class_goes_by_its_bare_name(self, own_registry: Registry) -> None:
        class SendWelcome(Job):
            pass

        assert SendWelcome.__job_name__ == "SendWelcome"
        assert own_registry.get("SendWelcome") is SendWelcome

    @pytest.mark.case("REG-08")
    def test_a_chosen_name(self, own_registry: Registry) -> None:
        """It survives renaming the class."""
        define("Old", name="send")
        own_registry.clear()
        renamed = define("New", name="send")
        assert own_registry.get("send") is renamed
        assert own_registry.get("New") is None

    @pytest.mark.case("REG-09", "REG-12")
    def test_another_class_under_a_taken_name_is_refused(self, own_registry: Registry) -> None:
        class Twice(Job):
            pass

        first = Twice
        with pytest.raises(DuplicateJob, match='"Twice" is taken by .*Twice.*replace=True'):

            class Twice(Job):
                pass

        assert own_registry.get("Twice") is first

    @pytest.mark.case("REG-12")
    def test_replace_takes_over(self, own_registry: Registry) -> None:
        class Twice(Job):
            pass

        class Twice(Job, replace=True):  # noqa: F811
            pass

        assert own_registry.get("Twice") is Twice

    @pytest.mark.case("REG-12")
    def test_the_same_statement_again_is_a_reload(self, own_registry: Registry) -> None:
        """A module that is loaded again replaces its own classes."""
        source = compile("class Again(Job):\n    pass\n", "jobs.py", "exec")
        first: dict[str, Any] = {"Job": Job, "__name__": "jobs"}
        second = dict(first)
        exec(source, first)
        exec(source, second)
        assert own_registry.get("Again") is second["Again"] is not first["Again"]

    def test_another_file_is_no_reload(self) -> None:
        names: dict[str, Any] = {"Job": Job, "__name__": "jobs"}
        exec(compile("class Again(Job):\n    pass\n", "jobs.py", "exec"), names)
        with pytest.raises(DuplicateJob):
            exec(compile("class Again(Job):\n    pass\n", "others.py", "exec"), names)
