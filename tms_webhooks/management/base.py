"""The base of the commands: their arguments, the rows that these name, their output, and a database that does not answer.

Their texts contain no secret, no header value and no payload, and only the host of a URL.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import re
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connections, router
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from tms_webhooks.conf import COMMAND_CHECKS
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import DrainSlot, Webhook
from tms_webhooks.monitoring.liveness import database_problem
from tms_webhooks.monitoring.words import stop_of

BAD_INPUT = 2
"""The exit status of a command that can't start because of a wrong argument; the same as argparse's."""
ANSWER_WITHIN = 5.0
"""Seconds. With the start of the process, ``webhooks_health`` ends within 10 s."""
SILENT_DATABASE = (
    f"The database has not answered within {ANSWER_WITHIN:g} s. Make sure that it runs, that this host reaches it, and "
    "that it is not overloaded."
)

# Windows has no SIGHUP.
SIGNALS = [number for number in signal.Signals if number.name in {"SIGTERM", "SIGINT", "SIGHUP"}]

_AGE = re.compile(r"(\d{1,6})(min|h|d)")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def bad_input(text: str) -> CommandError:
    """Return the error that ends a command with `BAD_INPUT`."""
    return CommandError(text, returncode=BAD_INPUT)


# Types of arguments: each parses one, or raises an error that argparse prints.


def _number(convert: Callable[[str], Any], words: str, *, least: float, most: float) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        # NaN fails every comparison.
        if not least <= value <= most:
            raise ArgumentTypeError(f"{text!r} is not {words}")
        return value

    return parse


seconds = _number(float, "a number of seconds above 0", least=sys.float_info.min, most=sys.float_info.max)
count = _number(int, "a whole number from 0 up", least=0, most=10**9)


def row_id(text: str) -> str:
    """Read the id of a row: the public id, or the number in the logs."""
    if not re.fullmatch(r"[0-9]{1,18}|[a-z]{3}_[0-9a-f]{32,64}", text):
        raise ArgumentTypeError(f"{text!r} is not an id, such as 31 or whk_…")
    return text


def moment(text: str) -> datetime:
    """Read a time with its time zone, or an age such as 30min, 12h or 3d."""
    if age := _AGE.fullmatch(text):
        return timezone.now() - int(age[1]) * _UNITS[age[2]]
    try:
        value = parse_datetime(text)
    except ValueError:
        value = None
    if value is None:
        raise ArgumentTypeError(f"{text!r} is neither a time such as 2026-11-24T15:00:00Z nor an age such as 12h or 3d")
    if timezone.is_naive(value):
        raise ArgumentTypeError(f"{text!r} has no time zone; give one, as in 2026-11-24T15:00:00Z")
    return value


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--webhook": {"type": row_id, "metavar": "ID", "help": "one webhook only"},
    "--organization": {"metavar": "ID", "help": "the webhooks of one organization only"},
    "--dry-run": {"action": "store_true", "help": "count only, and change nothing"},
    "--json": {"action": "store_true", "dest": "as_json", "help": "print one JSON object"},
    "--output": {"type": Path, "metavar": "FILE", "help": "default: standard output"},
}
"""The options that several commands have."""


def add_options(parser: Any, *names: str, **changes: Any) -> None:
    """Add some of `OPTIONS` to a parser or a group; ``changes`` are arguments of `add_argument` for all of them."""
    for name in names:
        parser.add_argument(name, **{**OPTIONS[name], **changes})


def add_scope(parser: ArgumentParser) -> None:
    """Add the options for one webhook or one organization."""
    add_options(parser.add_mutually_exclusive_group(), "--webhook", "--organization")


# Rows that arguments name.


def webhook_of(key: str) -> Webhook:
    """Return a webhook; raise `CommandError` if it does not exist."""
    by_id = Q(pk=int(key)) if key.isdecimal() else Webhook.by_public_id(key)
    webhook = Webhook.objects.existing().filter(by_id).first()
    if webhook is None:
        raise bad_input(f"Webhook {key} does not exist. webhooks_health lists the webhooks with their ids.")
    return webhook


def key_of_organization(text: str) -> Any:
    """Return the key of an organization; raise `CommandError` if it does not exist."""
    model: Any = Webhook._meta.get_field("organization").related_model
    try:
        return model._base_manager.only("pk").get(pk=text).pk
    except (model.DoesNotExist, ValidationError, ValueError, OverflowError):
        raise bad_input(f"Organization {text} does not exist. Write its primary key.") from None


def config_files() -> Any:
    """Return the module for YAML documents; raise `CommandError` if PyYAML is not installed."""
    try:
        return importlib.import_module("tms_webhooks.config_files")
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        raise bad_input("This needs PyYAML: pip install 'tms-webhooks[yaml]'.") from error


# Output. It is English, so it needs no catalog.


class DocumentCommand(BaseCommand):
    """A command that writes a document, to a file or to standard output."""

    def write(self, text: str, output: Path | None, *, mode: str = "w") -> None:
        """Write a document to a file, or to standard output; raise `CommandError` if that fails."""
        if output is None:
            self.stdout.write(text, ending="")
            return
        try:
            with output.open(mode, encoding="utf-8") as file:
                file.write(text)
        except FileExistsError as error:
            raise bad_input(f"{output} exists. Add --overwrite to replace it, or leave --output out.") from error
        except OSError as error:
            raise bad_input(f"{output} can't be written: {error.strerror}.") from error


class WebhooksCommand(DocumentCommand):
    """A command that prints one line, and no traceback, if the database does not answer or ``migrate`` was not run.

    Before it works, it runs the checks of this app alone. Those of all apps load the project's URLs and views.
    With them, a start of the example project takes 0.9 s instead of 0.5, and 116 MB instead of 87.
    """

    requires_system_checks: list[str] | tuple[str, ...] = (COMMAND_CHECKS,)
    is_service = False
    """Whether a supervisor or a monitor runs it: it connects by itself, and its errors have their tracebacks."""

    _is_process = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command as a process of its own."""
        self._is_process = True
        super().run_from_argv(argv)

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run the command; raise `CommandError` with exit status 2 if it is refused, or the database or its tables are not available."""
        try:
            if not self.is_service:
                self.connect()
            return super().execute(*args, **options)
        except WebhooksError as error:
            if self.is_service:
                raise
            raise bad_input(str(error)) from error
        except Error as error:
            if problem := database_problem():
                raise bad_input(problem) from error
            raise

    def connect(self) -> None:
        """Open the connection; end the process with status 2 if the database accepts it and does not answer."""

        def report() -> int:
            self.stderr.write(f"CommandError: {SILENT_DATABASE}")
            return BAD_INPUT

        with self.deadline(report):
            connections[router.db_for_write(Webhook)].ensure_connection()

    @contextmanager
    def deadline(self, report: Callable[[], int], *, within: float = ANSWER_WITHIN) -> Iterator[None]:
        """End the process if the block takes longer, in seconds: ``report`` prints why, and returns the status.

        No signal and no exception ends a wait inside a database driver. `call_command` has no deadline, because the
        process is the caller's.
        """

        def end() -> None:
            status = report()
            for stream in (self.stdout, self.stderr):
                stream.flush()
            os._exit(status)

        timer = threading.Timer(within, end)
        timer.daemon = True
        if self._is_process:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def print(self, facts: Any, words: str, *, as_json: bool) -> None:
        """Print facts as JSON, or in words. Keys of organizations may be UUIDs."""
        self.stdout.write(json.dumps(facts, default=str) if as_json else words)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Set the event at the first of these signals inside the ``with`` block; the same one again kills the process.

    SIGHUP remains ignored under ``nohup``. A shell script ignores SIGINT for each process in its background; here it is handled.
    """
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {
        number: signal.signal(number, on_signal)
        for number in SIGNALS
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Why something is not delivered, and the next step of the operator.


def stop_reason(webhook: Webhook, now: datetime) -> tuple[str, str] | None:
    """Return why a webhook gets no new events now, and the remedy with its command; None if it gets them."""
    stop = stop_of(webhook, now)
    if stop is None:
        return None
    now_command = f"To try its deliveries now: webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them"
    commands = {"disabled": f"To send them: webhooks_replay missed --webhook {webhook.pk}", "pull_only": ""}
    return stop.reason, f"{stop.remedy} {commands.get(stop.state, now_command)}".strip()


def no_worker(now: datetime) -> str:
    """Return a sentence with the remedy if no drain runs now; otherwise nothing."""
    runs = DrainSlot.objects.held_until(now) is not None
    return "" if runs else "No worker delivers now. Start one: webhooks_drain"
