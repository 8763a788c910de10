"""``manage.py demo``: run the demo with its own settings and database."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import sys
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from example_project.demo.display import Display
from example_project.demo.environment import SETTINGS, Occupied, clean_folder, environment
from example_project.demo.ledger import Ledger
from example_project.demo.show import Show
from example_project.demo.verdict import Figures, Verdict


class Command(BaseCommand):
    """Run the demo in its own environment."""

    help = (
        "Run a working day at the training system on a fresh SQLite file: every event type, real deliveries to a "
        "verifying receiver, a poller that sees the same changes, a rollback, an outage and a crash. Exit status 0: "
        "every event arrived, and every type of the catalogue. 1: they did not."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--json", action="store_true", help="print the figures as one JSON object on the last line")
        parser.add_argument(
            "--serve",
            action="store_true",
            help="then keep the admin and the customers' site on the day's database, until Ctrl-C",
        )
        parser.add_argument(
            "--folder",
            type=Path,
            default=settings.BASE_DIR / ".demo",
            help="folder of its database and logs; earlier ones are removed; default: .demo",
        )

    def handle(self, *, folder: Path, **options: Any) -> None:
        """Restart this process with the demo's environment; then run the demo."""
        folder = folder.resolve()
        if os.environ.get("TMS_DEMO") != str(folder):
            start_again(folder)
        if settings.SETTINGS_MODULE != SETTINGS:
            raise CommandError("The demo has its own settings; remove --settings.")
        handle_signals()
        try:
            with clean_folder(folder):
                log_to(folder / "demo.log")
                verdict = self._play(folder, **options)
        except Occupied as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stderr.write("Interrupted; all processes of the demo are stopped.")
            sys.exit(130)
        sys.exit(0 if verdict.passed else 1)

    def _play(self, folder: Path, *, json: bool, serve: bool, no_color: bool, **_options: Any) -> Verdict:
        display = self._display(plain=json, no_color=no_color)
        password = secrets.token_urlsafe(9) if serve else None
        verdict = None
        with Show(display, folder=folder) as show:
            try:
                verdict = show.run(password=password, stop=not serve)
            finally:
                display.close(verdict)
            if json:
                self.stdout.write(as_json(verdict.figures))
            if serve and verdict.figures.expected:
                self._serve(show, password or "")
        return verdict

    def _display(self, *, plain: bool, no_color: bool) -> Display:
        ledger = Ledger()
        if not plain and sys.stdout.isatty():
            # Imported here: plain output does not need it.
            from rich.console import Console

            from example_project.demo.live import LiveDisplay

            return LiveDisplay(ledger, Console(no_color=no_color or None, highlight=False))
        return Display(ledger, sys.stdout)

    def _serve(self, show: Show, password: str) -> None:
        lines = [f"{username:<22}{role}: {show.url}{path}" for username, role, path in show.world.accounts()]
        end = "Change something there: each request to the receiver is printed here. Ctrl-C ends it."
        show.display.notice((f"Look at the day. Password of these accounts: {password}", "", *lines, "", end))
        show.ledger.listener = show.display.arrival
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def start_again(folder: Path) -> None:
    """Replace this process by the same command in the demo's environment, which the settings read."""
    sys.stdout.flush()
    env = {**environment(folder), "TMS_DEMO": str(folder)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], env)


def handle_signals() -> None:
    """Let SIGTERM, SIGINT and SIGHUP end the demo and its processes. SIGHUP remains ignored under ``nohup``.

    A shell script ignores SIGINT for each process in its background, and Python then installs no handler.
    """

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)


def log_to(path: Path) -> None:
    """Log to a file, because the terminal shows the display."""
    for name in ("tms_webhooks", "django-q"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.FileHandler(path, delay=True)], False


def as_json(figures: Figures) -> str:
    """Return the figures as one line of JSON."""
    return json.dumps(dataclasses.asdict(figures))
