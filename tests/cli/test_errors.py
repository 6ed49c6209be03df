"""Every error text: what happened, where, what to do; at most four lines."""

from __future__ import annotations

import sys

import pytest

from asyncqueue.cli.errors import report, wrong_use


@pytest.fixture(autouse=True)
def applications(here):
    (here / "store.py").write_text(
        "from asyncqueue import Queue, Worker\n"
        "queue = Queue('sqlite:///queue.db')\n"
        "mail_queue = Queue('sqlite:///mail.db')\n"
        "worker = Worker(queue)\n"
        "number = 7\n"
    )
    (here / "empty.py").write_text("")
    (here / "syntax.py").write_text("queue =\n")
    (here / "divides.py").write_text("def load():\n    return 1 / 0\n\nqueue = load()\n")
    (here / "lacks.py").write_text("import no_such_library\n")
    (here / "exits.py").write_text("import sys\nsys.exit(3)\n")
    (here / "inline.py").write_text("import asyncqueue\nqueue = asyncqueue.Queue('sync://')\n")
    (here / "parts").mkdir()
    (here / "parts" / "__init__.py").write_text("")
    (here / "parts" / "jobs.py").write_text("")
    yield
    for name in ("store", "empty", "inline", "parts", "parts.jobs"):
        sys.modules.pop(name, None)


OFFER = "  store.py defines: store:queue, store:mail_queue, store:worker"
MEND = "  Mend it there; --traceback shows all of it."
HELP = [
    "  Usage: asyncqueue worker [OPTIONS] [MODULE:ATTRIBUTE]",
    "  Help: asyncqueue worker --help",
]
CASES = {
    ("store:quue",): ['Error: store has no "quue". Did you mean "queue"?', OFFER],
    ("store:zzz",): ['Error: store has no "zzz".', OFFER],
    ("store:queue.zzz",): ['Error: Queue has no "zzz".', OFFER],
    ("store:number",): ['Error: "store:number" is of type int, not a Queue or a Worker.', OFFER],
    ("store:Queue",): ['Error: "store:Queue" is the class Queue, not a Queue or a Worker.', OFFER],
    ("store",): ['Error: "store" does not say which queue; write module:attribute.', OFFER],
    ("store.py:queue",): [
        'Error: "store.py:queue" is a file; write module:attribute, as in store:queue'
    ],
    (":queue",): ['Error: ":queue" names no module; write module:attribute, as in app:queue'],
    ("empty:queue",): [
        'Error: empty has no "queue".',
        '  empty.py defines no Queue; add one: queue = asyncqueue.Queue("sqlite:///queue.db")',
    ],
    ("stoer:queue",): [
        'Error: There is no module "stoer" in {here} and on PYTHONPATH. Did you mean "store"?',
        "  Run the command where the application is, or set PYTHONPATH.",
    ],
    ("parts.jobz:queue",): [
        'Error: There is no module "parts.jobz" in parts. Did you mean "parts.jobs"?',
        "  Run the command where the application is, or set PYTHONPATH.",
    ],
    ("syntax:queue",): [
        "Error: syntax cannot be imported: SyntaxError: invalid syntax",
        "  at syntax.py:1: queue =",
        MEND,
    ],
    ("divides:queue",): [
        "Error: divides cannot be imported: ZeroDivisionError: division by zero",
        "  at divides.py:2 in load: return 1 / 0",
        MEND,
    ],
    ("lacks:queue",): [
        "Error: lacks cannot be imported: ModuleNotFoundError: No module named 'no_such_library'",
        "  at lacks.py:1 in <module>: import no_such_library",
        MEND,
    ],
    ("exits:queue",): [
        "Error: exits ended the program while it was imported (exit code 3).",
        '  Guard what it runs with: if __name__ == "__main__":',
    ],
    ("inline:queue",): [
        (
            "Error: With the sync driver jobs run where they are dispatched; no worker has "
            "anything to do."
        ),
        "  Name a store, such as QUEUE_URL=sqlite:///queue.db",
    ],
    ("store:worker", "--grace", "3", "--lease", "5", "--once"): [
        (
            "Error: store:worker is a Worker, which is run as it is configured; --grace, --lease, "
            "--once would change that."
        ),
        "  Leave it out, or name the Queue instead of the Worker.",
    ],
    ("store:queue", "--concurrency", "x"): [
        "Error: Invalid value for '--concurrency': 'x' is not a valid integer.",
        *HELP,
    ],
    ("store:queue", "--timeout", "soon"): [
        (
            "Error: Invalid value for '--timeout': 'soon' is not a duration such as 5, "
            '"100ms" or "1h30m"'
        ),
        *HELP,
    ],
    ("store:queue", "--queue", "a=0"): [
        "Error: Invalid value for '--queue': 'a=0': slots are a whole number from 1 up",
        *HELP,
    ],
    ("store:queue", "--queue", "a", "--queue", "b,a=2"): ['Error: --queue names "a" twice'],
    ("store:queue", "--queue", "a=2", "--concurrency", "9"): [
        (
            "Error: Each queue has slots of its own, so --concurrency would change nothing; "
            "leave it out"
        )
    ],
    ("store:queue", "--lease", "0"): ["Error: lease must be positive, got 0.0"],
    ("store:queue", "--once", "--max-jobs", "3"): [
        "Error: --once is --max-jobs 1 --stop-when-empty; give one or the other"
    ],
    ("store:queue", "--once", "--processes", "3"): [
        "Error: --once runs one job, so --processes means nothing with it"
    ],
}


@pytest.mark.case("CLI-01")
@pytest.mark.parametrize("args", CASES, ids=" ".join)
def test_wrong_use_of_the_worker_command(run, here, args):
    """Exit code 2 and a few lines, never a traceback."""
    result = run("worker", *args)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [line.format(here=here) for line in CASES[args]]
    assert len(CASES[args]) <= 4


@pytest.mark.parametrize(
    ("args", "first"),
    [
        (["wrker"], 'Error: There is no command "wrker". Did you mean "worker"?'),
        (["failed", "lst"], 'Error: There is no command "lst". Did you mean "list"?'),
        (["worker", "--quue", "x"], "Error: No such option"),
        (["stats", "--url", "rabbit://x"], 'Error: Unknown driver "rabbit".'),
        (["stats", "--url", "sqlite://q.db"], "Error: 'sqlite://q.db' names no file."),
        (["stats", "--url", "sqlite:///q.db", "--app", "a:b"], "Error: --url and --app both"),
        (["jobs", "--state", "lost"], "Error: Invalid value for '--state'"),
        (["failed", "prune", "--older-than", "-1"], "Error: Invalid value for '--older-than'"),
    ],
    ids=str,
)
def test_wrong_use_of_the_others(run, args, first):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr.startswith(first)
    assert len(result.stderr.splitlines()) <= 4


def test_an_error_of_many_lines_is_told_in_a_few(capsys):
    assert report(wrong_use("first", *map(str, range(9))), as_json=False, full=False) == 2
    assert capsys.readouterr().err.splitlines() == ["Error: first", "  0", "  1", "  2"]


def test_the_traceback_is_shown_when_asked_for(run):
    result = run("worker", "divides:queue", "--traceback")
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert "Traceback" not in run("worker", "divides:queue").stderr


def test_a_wrong_variable_is_named_with_its_value(run, monkeypatch):
    monkeypatch.setenv("QUEUE_TIMEOUT", "soon")
    result = run("stats")
    assert result.exit_code == 2
    assert "QUEUE_TIMEOUT" in result.stderr
    assert "soon" in result.stderr


def test_the_demo_without_its_extra_says_what_to_install(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "asyncqueue.demo", raising=False)

    def import_module(name):
        raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")

    monkeypatch.setattr("asyncqueue.cli.demo.importlib.import_module", import_module)
    result = run("demo")
    assert (result.exit_code, result.stderr.splitlines()) == (
        1,
        [
            "Error: The demo needs the package uvicorn, which is not installed.",
            '  pip install "asyncqueue[demo]"',
        ],
    )
