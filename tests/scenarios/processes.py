"""Processes of a scenario, on a database that they share: they may be killed, and the tests' own can't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connection

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


def database_url(directory: Path) -> str:
    """Return the URL of the tests' database; of a new file in ``directory`` where that one is in memory."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(directory / 'scenario.sqlite3'))}"
    scheme = {"postgresql": "postgres", "mysql": "mysql"}[connection.vendor]
    user = quote(values["USER"]) + (f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else "")
    port = f":{values['PORT']}" if values["PORT"] else ""
    return f"{scheme}://{user}@{values['HOST']}{port}/{quote(values['NAME'])}"


class Processes:
    """Starts them, all with the same settings."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        self._environment = {
            **os.environ,
            "TMS_DATABASE": url,
            "TMS_SCENARIO": json.dumps(dict(settings)),
            "DJANGO_SETTINGS_MODULE": "tests.scenarios.settings",
        }

    def run(self, *arguments: str) -> str:
        """Run a Python module to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=self._environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def drain(self) -> Iterator[subprocess.Popen[str]]:
        """Start a drain; if it still runs at the end of the block, it is killed."""
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "webhooks_drain", "--json", "--seconds", str(PATIENCE)],
            env=self._environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()
