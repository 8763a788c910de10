"""``manage.py webhooks_listen``: receive webhooks on this machine, to try them out."""

from __future__ import annotations

import json
import os
import random
import re
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, OutputWrapper
from django.utils import timezone

from tms_webhooks.delivery import verification
from tms_webhooks.listener import Listener, Misbehavior, ReceivedRequest, ScriptedResponse
from tms_webhooks.management import arguments
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.lookups import bad_input, secret_from, secrets_of, webhook_of
from tms_webhooks.management.stopping import stop_on_signal


class Command(BaseCommand):
    """Listen until SIGTERM or SIGINT."""

    help = (
        "Receive webhooks on this machine, verify them and print a line for each. It can fail on purpose. It "
        "ends after SIGTERM, SIGINT or --requests. Exit status 0: it ended as requested. 1: a request did not "
        "verify. 2: it could not start. Webhooks reach it only if TMS_WEBHOOKS allows the host, the port and "
        "http."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
        parser.add_argument("--port", type=arguments.port, default=9000, help="default: 9000; 0: a free port")
        secret_source = parser.add_mutually_exclusive_group()
        secret_source.add_argument(
            "--webhook", type=row_id, metavar="ID", help="verify with the secrets of this webhook"
        )
        secret_source.add_argument(
            "--secret-env",
            type=arguments.variable,
            default="WEBHOOK_SECRET",
            metavar="NAME",
            help="the environment variable with the secret; default: WEBHOOK_SECRET",
        )
        parser.add_argument("--fail-first", type=arguments.count, default=0, metavar="N", help="fail N times per event")
        parser.add_argument(
            "--fail-share",
            type=arguments.share,
            default=0.0,
            metavar="SHARE",
            help="fail this share of requests at random",
        )
        parser.add_argument(
            "--fail-with", type=arguments.status, default=503, metavar="STATUS", help="status of failures; default: 503"
        )
        parser.add_argument("--delay", type=arguments.seconds, default=0.0, metavar="SECONDS", help="delay each answer")
        parser.add_argument("--requests", type=arguments.count, default=0, metavar="N", help="end after N requests")
        parser.add_argument("--save", type=Path, metavar="FOLDER", help="write each request to a file in this folder")
        parser.add_argument("--body", action="store_true", help="print the bodies too; they may contain personal data")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object per line")

    def handle(self, *, host: str, port: int, requests: int, save: Path | None, **options: Any) -> None:
        """Listen until a signal or --requests; exit with 1 if a request did not verify."""
        failing = Misbehavior(
            status=options["fail_with"],
            first=options["fail_first"],
            share=options["fail_share"],
            delay=options["delay"],
        )
        known = secrets(webhook=options["webhook"], variable=options["secret_env"])
        if save is not None:
            make_folder(save)
        report = Report(self.stdout, as_json=options["as_json"], with_body=options["body"], save=save)
        with stop_on_signal() as stop:

            def respond(request: ReceivedRequest) -> ScriptedResponse:
                answer = failing.answer(request, dice=random.random)
                if report.write(request, answer) == requests:
                    stop.set()
                return answer

            listener = listen(respond, secrets=known, host=host, port=port)
            self.stderr.write(f"Listening on http://{host}:{listener.port}/ (stop with Ctrl-C)", self.style.SUCCESS)
            stop.wait()
            listener.close()
        if report.wrong:
            raise SystemExit(1)


def listen(
    respond: Callable[[ReceivedRequest], ScriptedResponse], *, secrets: Sequence[str], host: str, port: int
) -> Listener:
    """Open the port; raise `CommandError` if that fails."""
    try:
        return Listener(respond, secrets=lambda: secrets, host=host, port=port)
    except OSError as error:
        raise bad_input(
            f"{host}:{port} is not available: {(error.strerror or str(error)).lower()}. Choose another port with "
            "--port (0: a free one), or another address with --host."
        ) from error


def secrets(*, webhook: str | None, variable: str) -> Sequence[str]:
    """Return the secrets to verify with; raise `CommandError` if none is found."""
    if webhook is None:
        return [secret_from(variable)]
    return secrets_of(webhook_of(webhook), now=timezone.now())


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can read; raise `CommandError` if that fails."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise bad_input(f"{folder} can't be created: {error.strerror}.") from error


class Report:
    """Prints the received requests, one at a time, and saves them to files. Thread-safe."""

    def __init__(self, stream: OutputWrapper, *, as_json: bool, with_body: bool, save: Path | None) -> None:
        self.wrong = 0
        self._stream = stream
        self._as_json = as_json
        self._with_body = with_body
        self._save = save
        self._numbers = count(1)
        self._lock = threading.Lock()

    def write(self, request: ReceivedRequest, answer: ScriptedResponse) -> int:
        """Print a request and its answer; return the number of requests so far."""
        with self._lock:
            number = next(self._numbers)
            self.wrong += not request.verified
            facts = facts_of(request, answer)
            lines = [json.dumps(facts) if self._as_json else in_words(facts)]
            if self._with_body:
                lines.append(printable(request.body.decode("utf-8", "replace")))
            self._stream.write("\n".join(lines))
            self._stream.flush()
            if self._save is not None:
                save_request(self._save, number, request)
        return number


def save_request(folder: Path, number: int, request: ReceivedRequest) -> None:
    """Write a request to a file that `webhooks_verify` reads."""
    # The id comes from the network: use only safe characters of it in the file name.
    name = re.sub(r"[^A-Za-z0-9_-]", "", request.headers.get("webhook-id", ""))[:80] or "without-id"
    descriptor = os.open(folder / f"{number:05d}-{name}.http", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(verification.write(verification.CapturedRequest(request.headers, request.body)))


def facts_of(request: ReceivedRequest, answer: ScriptedResponse) -> dict[str, Any]:
    """Return the facts of a request that are printed, without its body."""
    event = request.event if isinstance(request.event, dict) else {}
    return {
        "at": datetime.fromtimestamp(request.arrived_at, UTC).isoformat(timespec="milliseconds"),
        "type": event.get("type"),
        "id": request.headers.get("webhook-id"),
        "attempt": request.headers.get("tms-attempt"),
        "seen": request.seen,
        "verified": request.verified,
        "problems": request.verdict.problems if request.verdict else (),
        "answered": int(answer.status),
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line, and a further line for each problem."""
    again = f", seen {facts['seen']} times" if facts["seen"] > 1 else ""
    verdict = "verified" if facts["verified"] else "NOT VERIFIED"
    event = printable(f"{facts['type'] or '-'}  {facts['id'] or '-'}")
    head = f"{facts['at'][11:23]}  {event}  {verdict}{again}  -> {facts['answered']}"
    return "\n  ".join([head, *facts["problems"]])


def printable(text: str) -> str:
    """Return the text without control characters, which a terminal would obey: the sender is not trusted."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
