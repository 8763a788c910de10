"""Processes whose log is kept: it tells what each of them did, and why one died."""

import contextlib
import os
import signal
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import forks
from tests.scenarios.processes import ROOT


@dataclass(frozen=True)
class Logged:
    """A process, all of it one group, and the file that it writes its log to."""

    process: subprocess.Popen[str]
    log: Path

    def assert_alive(self):
        """Fail the test, with the log, where the process has ended."""
        assert self.process.poll() is None, self.log.read_text()[-5_000:]

    def has(self, pid):
        """Whether a process is one of this group."""
        try:
            return os.getpgid(pid) == self.process.pid
        except ProcessLookupError:
            return False

    def kill(self):
        """Kill every process of the group at once, as when a machine loses its power."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def finish(self, *, seconds):
        """Wait until it ends, which it has to do well, and return what it printed."""
        printed, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, self.log.read_text()[-5_000:]
        return printed


@contextmanager
def logged(processes, log, *arguments):
    """Start a Python module; what still runs of it at the end of the block is killed."""
    with log.open("wb") as lines:
        process = forks.Python(
            "-m",
            *arguments,
            env=processes.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
            start_new_session=True,
        )
    with process:
        one = Logged(process, log)
        try:
            yield one
        finally:
            one.kill()
