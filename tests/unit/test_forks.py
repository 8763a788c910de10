"""A forked process behaves as one that is started."""

import os
import signal
import sys

import pytest

from tests import forks
from tests.signals import children_ignore

ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "tests.settings", "TMS_DATABASE": "sqlite:////nowhere/of-its-own.sqlite3"}


def run(folder, code, *arguments):
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(forks.ROOT)}
    done = forks.run("-c", code, *arguments, cwd=folder, env=environment)
    return done.returncode, done.stdout, done.stderr.splitlines()[-1] if done.stderr else ""


@pytest.mark.parametrize(
    "code, expected",
    [
        ("import sys; print(sys.argv[1:])", (0, "['a', 'b']\n", "")),
        ("import sys; sys.exit(3)", (3, "", "")),
        ("import sys; sys.exit('no')", (1, "", "no")),
        ("1 / 0", (1, "", "ZeroDivisionError: division by zero")),
        ("import os; os.kill(os.getpid(), 9)", (-signal.SIGKILL, "", "")),
        ("import atexit; atexit.register(print, 'end')", (0, "end\n", "")),
        ("import threading; threading.Timer(0.1, print, ['late']).start()", (0, "late\n", "")),
        (
            "from django.db import connection; print(connection.settings_dict['NAME'])",
            (0, "/nowhere/of-its-own.sqlite3\n", ""),
        ),
    ],
)
def test_its_end_and_what_it_prints_are_those_of_python(code, expected):
    assert run(forks.ROOT, code, "a", "b") == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Elsewhere all are started.")
def test_it_is_forked():
    assert "django" in run(forks.ROOT, "import sys; print(*sys.modules)")[1].split()
    assert "django" not in run(forks.ROOT / "tests", "import sys; print(*sys.modules)")[1].split()


@pytest.mark.parametrize("folder", [forks.ROOT, forks.ROOT / "tests"], ids=["forked", "started"])
@pytest.mark.parametrize(
    "numbers, expected",
    [
        ([], "default_int_handler Handlers.SIG_DFL"),
        ([signal.SIGINT], "Handlers.SIG_IGN Handlers.SIG_DFL"),
        ([signal.SIGHUP], "default_int_handler Handlers.SIG_IGN"),
    ],
)
def test_it_ignores_the_signals_that_this_process_ignores(folder, numbers, expected):
    code = """
from signal import SIGHUP, SIGINT, getsignal
for number in (SIGINT, SIGHUP):
    print(getattr(getsignal(number), "__name__", repr(getsignal(number))[1:].partition(":")[0]))
"""
    with children_ignore(*numbers):
        assert run(folder, code)[1].split() == expected.split()
