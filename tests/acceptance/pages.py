"""Following a page of the documentation to the letter: its blocks become files and commands in a folder of their own."""

import os
import re
import shlex
import socket
import subprocess
import sys

from tests.patience import PATIENCE

BLOCK = re.compile(r"^```(python|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = "9000"
"""The port that pages name; each follower listens on one that is free."""
LISTENING = ("--listen", "receiver.py")
PYTHON = shlex.quote(sys.executable)
COMMANDS = {".venv/bin/python": PYTHON, ".venv/bin/django-admin": f"{PYTHON} -m django"}
INTERPRETER = re.compile("|".join(map(re.escape, COMMANDS)))
INSTALLING = ("python3 -m venv", ".venv/bin/pip")


class Follower:
    """One folder, with the processes that a page has started in it, and what its commands have printed.

    The interpreter is this one, with its packages.
    """

    def __init__(self, folder):
        self.folder = folder
        self.running = []
        self.printed = []
        self.promised = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = str(server.getsockname()[1])
        others = {"DJANGO_SETTINGS_MODULE", "TMS_DATABASE"}
        kept = {name: value for name, value in os.environ.items() if name not in others and not name.startswith("COV_")}
        # After the folder: the path by which this checkout was found, if it is not the installed one.
        path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {**kept, "PYTHONPATH": os.pathsep.join(path)}

    def follow(self, page):
        """Write and run what a page says, and return the texts that it promises."""
        promised = []
        for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "python":
                self.write(code)
            elif language == "sh":
                for line in code.splitlines():
                    self.run(line)
            else:
                promised.append(code)
        return promised

    def write(self, code):
        """Write a block to the file that its first line names; settings are added at the end of theirs."""
        first, _, rest = code.partition("\n")
        assert first.startswith("# "), first
        file = self.folder / first.removeprefix("# ")
        before = file.read_text() + "\n" if file.name == "settings.py" else ""
        file.write_text(before + rest.replace(PORT, self.port))

    def run(self, line):
        """Run a line of a shell; what listens goes on in the background."""
        if line.startswith(INSTALLING):
            return
        if any(name in line for name in LISTENING):
            self._listen(line.split()[1:])
            return
        # The interpreter by its own name: a symbolic link to it would not find the packages.
        done = subprocess.run(
            INTERPRETER.sub(lambda found: COMMANDS[found[0]], line),
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.printed.append(done.stdout)
        assert "WARNINGS" not in done.stdout + done.stderr, done.stdout + done.stderr

    def heard(self):
        """End what listens, and return what it has printed."""
        (listener,) = self.running
        listener.terminate()
        printed, _errors = listener.communicate(timeout=PATIENCE)
        return printed

    def close(self):
        """End what is still running."""
        for process in self.running:
            process.kill()
            process.communicate()

    def _listen(self, arguments):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        assert process.stderr is not None
        assert "Listening" in process.stderr.readline()
