"""The program of docs/howto/mirror.md, as a customer runs it."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

CODE = (Path(__file__).parents[2] / "docs" / "howto" / "mirror.py").read_text(encoding="utf-8")


def names():
    """Return what the program defines, by its names."""
    exec(CODE.partition("if __name__")[0], found := {})
    return found


class Mirror:
    """The customer's program and its table."""

    def __init__(self, folder, environment, *, seconds):
        folder.mkdir()
        (folder / "mirror.py").write_text(CODE)
        self.folder, self.environment, self._seconds = folder, {**os.environ, **environment}, seconds
        with closing(sqlite3.connect(folder / "mirror.sqlite3")) as table:
            table.executescript(names()["TABLES"])

    def start(self, command):
        arguments = [sys.executable, "mirror.py", command]
        return subprocess.Popen(arguments, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True)

    def run(self, command):
        with self.start(command) as process:
            printed, _ = process.communicate(timeout=self._seconds)
        assert process.returncode == 0, printed
        return printed.splitlines()

    def execute(self, statement, *parameters):
        with closing(sqlite3.connect(self.folder / "mirror.sqlite3", timeout=20)) as table, table:
            return table.execute(statement, parameters).fetchall()
