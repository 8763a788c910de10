"""``manage.py webhooks_listen``: receive webhooks on this machine, to try them out.

With ``--webhook``, it listens where the URL of that webhook leads, and says what keeps requests from coming.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils import timezone

from tms_webhooks.db import clock
from tms_webhooks.delivery import verification
from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.listener import Listener, Misbehavior, ReceivedRequest, ScriptedResponse
from tms_webhooks.management import arguments
from tms_webhooks.management.arguments import row_id
from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.lookups import bad_input, secret_from, secrets_of, webhook_of
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.management.undelivered import ALLOWING, no_worker, stop_reason
from tms_webhooks.models import Webhook
from tms_webhooks.net.urls import LOOPBACK, check_url, loopback_address, parse_url

PORT = 9000
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (the user chooses it)


class Command(DatabaseCommand):
    """Listen until SIGTERM or SIGINT."""

    help = (
        "Receive webhooks on this machine, verify them and print a line for each. With --webhook, it listens where the "
        "URL of that webhook leads, and verifies with its secrets. It can fail on purpose. It ends after SIGTERM, SIGINT "
        "or --requests. Exit status 0: it ended as requested. 1: a request did not verify. 2: it could not start. "
        "Webhooks reach it only if TMS_WEBHOOKS allows the host, the port and http."
    )
    requires_system_checks = ()
    always_connects = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--host", help=f"address to listen on; default: that of the webhook's URL, or {LOOPBACK}")
        parser.add_argument(
            "--port", type=arguments.port, help=f"default: that of the webhook's URL, or {PORT}; 0: a free port"
        )
        secret_source = parser.add_mutually_exclusive_group()
        secret_source.add_argument(
            "--webhook",
            type=row_id,
            metavar="ID",
            help="listen where the URL of this webhook leads, and verify with its secrets",
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

    def handle(self, *, requests: int, save: Path | None, **options: Any) -> None:
        """Listen until a signal or --requests; exit with 1 if a request did not verify."""
        webhook = None if options["webhook"] is None else webhook_of(options["webhook"])
        address = address_of(webhook, host=options["host"], port=options["port"])
        failing = Misbehavior(
            status=options["fail_with"],
            first=options["fail_first"],
            share=options["fail_share"],
            delay=options["delay"],
        )
        known = [secret_from(options["secret_env"])] if webhook is None else secrets_of(webhook, now=timezone.now())
        if save is not None:
            make_folder(save)
        report = Report(self.stdout, as_json=options["as_json"], with_body=options["body"], save=save)
        with stop_on_signal() as stop:

            def respond(request: ReceivedRequest) -> ScriptedResponse:
                problem = address.problem_with(request.path)
                answer = failing.answer(request, dice=random.random) if not problem else NOT_FOUND
                if report.write(request, answer, problem) == requests:
                    stop.set()
                return answer

            listener = listen(respond, secrets=known, address=address)
            self.stderr.write(f"Listening on {address.url(listener.port)} (stop with Ctrl-C)", self.style.SUCCESS)
            for note in () if webhook is None else notes_on(webhook, now=clock.measured_now()):
                self.stderr.write(note, self.style.WARNING)
            stop.wait()
            listener.close()
        if report.count == 0 and webhook is not None:
            self.stderr.write(f"No request came. The attempts of the webhook: webhooks_tail --webhook {webhook.pk}")
        if report.wrong:
            raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address to listen on. If it is that of a webhook's URL, ``path`` is its path, unless that has tokens."""

    host: str
    port: int
    is_given_by_url: bool = False
    path: str | None = None

    def url(self, port: int) -> str:
        """Return the URL that leads here."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}{self.path or '/'}"

    def problem_with(self, target: str) -> str:
        """Return a sentence if a request is not for the path of the webhook; otherwise nothing."""
        path = target.partition("?")[0]
        if self.path in (None, path):
            return ""
        return f"The request is for {printable(path)}, and the webhook's URL has the path {self.path}."


NOT_FOUND = ScriptedResponse(HTTPStatus.NOT_FOUND)


def address_of(webhook: Webhook | None, *, host: str | None, port: int | None) -> ListenAddress:
    """Return where to listen; raise `CommandError` if requests of the webhook do not come there."""
    if webhook is None:
        return ListenAddress(host or LOOPBACK, PORT if port is None else port)
    name = f"Webhook {webhook.pk}"
    if webhook.pull_only:
        raise bad_input(f"{name} is pull-only: nothing is sent to it. Choose another webhook.")
    try:
        url = parse_url(webhook.url)
    except UnsafeURL as error:
        raise bad_input(f"{name} can't be received. {error}") from error
    shown = webhook.url.partition("?")[0]
    path = None if "{" in shown else url.target.partition("?")[0]
    loopback = loopback_address(url.host) if url.scheme == "http" else None
    if loopback is not None:
        if port not in (None, url.port) or host not in (None, loopback, url.host, *ANY_ADDRESS):
            raise bad_input(f"{name} sends to {shown}. Leave out --host and --port, or change its URL.")
        return ListenAddress(host or loopback, url.port, is_given_by_url=True, path=path)
    if port is None:
        raise bad_input(
            f"{name} sends to {shown}, and not to this machine by http. Change its URL to one such as "
            f"http://{LOOPBACK}:{PORT}/. Or give --port, to listen behind a tunnel or a proxy that has this URL."
        )
    return ListenAddress(host or LOOPBACK, port)


def notes_on(webhook: Webhook, *, now: datetime) -> Iterator[str]:
    """Yield a sentence for each reason why requests of a webhook do not come now, with the remedy."""
    try:
        check_url(webhook.url)
    except UnsafeURL as error:
        yield f"With the settings of this process, nothing is sent to this webhook. {error} {ALLOWING}"
    stop = stop_reason(webhook, now)
    if stop is not None:
        yield f"The webhook is {stop[0]}. {stop[1]}"
    if note := no_worker(now):
        yield note


def listen(
    respond: Callable[[ReceivedRequest], ScriptedResponse], *, secrets: Sequence[str], address: ListenAddress
) -> Listener:
    """Open the port; raise `CommandError` if that fails."""
    try:
        return Listener(respond, secrets=lambda: secrets, host=address.host, port=address.port)
    except OSError as error:
        remedy = (
            "End the program that uses the port, or give the webhook a URL with another port."
            if address.is_given_by_url
            else "Choose another port with --port (0: a free one), or another address with --host."
        )
        reason = (error.strerror or str(error)).lower()
        raise bad_input(f"{address.host}:{address.port} is not available: {reason}. {remedy}") from error


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can read; raise `CommandError` if that fails."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise bad_input(f"{folder} can't be created: {error.strerror}.") from error


class Report:
    """Prints the received requests, one at a time, and saves them to files. Thread-safe."""

    def __init__(self, stream: OutputWrapper, *, as_json: bool, with_body: bool, save: Path | None) -> None:
        self.count = self.wrong = 0
        self._stream = stream
        self._as_json = as_json
        self._with_body = with_body
        self._save = save
        self._lock = threading.Lock()

    def write(self, request: ReceivedRequest, answer: ScriptedResponse, problem: str) -> int:
        """Print a request, its answer, and a problem if there is one; return the number of requests so far."""
        with self._lock:
            self.count += 1
            self.wrong += not request.verified
            facts = facts_of(request, answer, problem)
            lines = [json.dumps(facts) if self._as_json else in_words(facts)]
            if self._with_body:
                lines.append(printable(request.body.decode("utf-8", "replace")))
            self._stream.write("\n".join(lines))
            self._stream.flush()
            if self._save is not None:
                save_request(self._save, self.count, request)
            return self.count


def save_request(folder: Path, number: int, request: ReceivedRequest) -> None:
    """Write a request to a file that `webhooks_verify` reads."""
    # The id comes from the network: use only safe characters of it in the file name.
    name = re.sub(r"[^A-Za-z0-9_-]", "", request.headers.get("webhook-id", ""))[:80] or "without-id"
    descriptor = os.open(folder / f"{number:05d}-{name}.http", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(verification.write(verification.CapturedRequest(request.headers, request.body)))


def facts_of(request: ReceivedRequest, answer: ScriptedResponse, problem: str) -> dict[str, Any]:
    """Return the facts of a request that are printed, without its body."""
    event = request.event if isinstance(request.event, dict) else {}
    return {
        "at": datetime.fromtimestamp(request.arrived_at, UTC).isoformat(timespec="milliseconds"),
        "type": event.get("type"),
        "id": request.headers.get("webhook-id"),
        "attempt": request.headers.get("tms-attempt"),
        "seen": request.seen,
        "verified": request.verified,
        "problems": [*(request.verdict.problems if request.verdict else ()), *([problem] if problem else ())],
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
