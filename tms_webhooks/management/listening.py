"""Receive webhooks on this machine, for ``webhooks_test --listen``: verify each request, and print it or fail on purpose.

With a webhook, it listens where the URL of that webhook leads, and says what keeps requests from coming.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper
from django.utils import timezone

from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import SecretError, UnsafeURL
from tms_webhooks.listener import Listener, Misbehavior, ReceivedRequest, ScriptedResponse
from tms_webhooks.management.base import bad_input
from tms_webhooks.management.reasons import ALLOWING, no_worker, stop_reason
from tms_webhooks.models import Webhook
from tms_webhooks.net.urls import LOOPBACK, check_url, loopback_address, parse_url

PORT = 9000
SAVED_HEADERS = (
    "content-type",
    "tms-attempt",
    "tms-delivery-id",
    "tms-test",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
)
"""The headers of a saved request. The webhook's own headers are secret and are left out."""
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (the user chooses it)
NOT_FOUND = ScriptedResponse(HTTPStatus.NOT_FOUND)


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
    loopback = loopback_address(url.host) if url.scheme == "http" else None
    if loopback is not None:
        if port not in (None, url.port) or host not in (None, loopback, url.host, *ANY_ADDRESS):
            raise bad_input(f"{name} sends to {shown}. Leave out --host and --port, or change its URL.")
        path = None if "{" in shown else url.target.partition("?")[0]
        return ListenAddress(host or loopback, url.port, is_given_by_url=True, path=path)
    if port is None:
        raise bad_input(
            f"{name} sends to {shown}, and not to this machine by http. Change its URL to one such as "
            f"http://{LOOPBACK}:{PORT}/. Or give --port, to listen behind a tunnel or a proxy that has this URL."
        )
    return ListenAddress(host or LOOPBACK, port)


def secrets_of(webhook: Webhook | None, *, variable: str) -> Sequence[str]:
    """Return the signing secrets of a webhook, or that of an environment variable; raise `CommandError` for a wrong one."""
    if webhook is not None:
        try:
            return webhook.signing_secrets(timezone.now())
        except SecretError as error:
            raise bad_input(str(error)) from error
    secret = os.environ.get(variable, "")
    if not secret:
        raise bad_input(
            f"{variable} is not set; put the webhook's secret (whsec_…) into it, name another variable with --secret-env, or "
            "give the webhook."
        )
    try:
        secret_key(secret)
    except ValueError as error:
        raise bad_input(f"{variable}: {error}") from None
    return [secret]


def notes_on(webhook: Webhook, *, now: datetime) -> Iterator[str]:
    """Yield a sentence for each reason why requests of a webhook do not come now, with the remedy."""
    try:
        check_url(webhook.url)
    except UnsafeURL as error:
        yield f"With the settings of this process, nothing is sent to this webhook. {error} {ALLOWING}"
    if stop := stop_reason(webhook, now):
        yield f"The webhook gets no new events. {' '.join(stop)}"
    if note := no_worker(now):
        yield note


@dataclass(slots=True)
class Receiver:
    """Answers requests, prints a line for each, and saves them to files. Thread-safe."""

    stream: OutputWrapper
    address: ListenAddress
    failing: Misbehavior
    stop: threading.Event
    """Is set after ``most`` requests; 0 stands for any number."""
    most: int
    save: Path | None
    with_body: bool
    as_json: bool
    count: int = 0
    wrong: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self, secrets: Sequence[str]) -> Listener:
        """Open the port, and make the folder; raise `CommandError` if that fails."""
        host, port = self.address.host, self.address.port
        try:
            if self.save is not None:
                self.save.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise bad_input(f"{self.save} can't be created: {error.strerror}.") from error
        try:
            return Listener(self.answer, secrets=lambda: secrets, host=host, port=port)
        except OSError as error:
            remedy = "Choose another port with --port (0: a free one), or another address with --host."
            if self.address.is_given_by_url:
                remedy = "End the program that uses the port, or give the webhook a URL with another port."
            reason = (error.strerror or str(error)).lower()
            raise bad_input(f"{host}:{port} is not available: {reason}. {remedy}") from error

    def answer(self, request: ReceivedRequest) -> ScriptedResponse:
        """Return the answer to a request, print both, and keep the request if it is to be saved."""
        path = request.path.partition("?")[0]
        answer = self.failing.answer(request, dice=random.random)
        problems = [request.problem] if request.problem else []
        if self.address.path not in (None, path):
            answer = NOT_FOUND
            problems.append(
                f"The request is for {printable(path)}, and the webhook's URL has the path {self.address.path}."
            )
        with self.lock:
            self.count += 1
            self.wrong += not request.verified
            facts = facts_of(request, problems, answer)
            self.stream.write(json.dumps(facts) if self.as_json else in_words(facts))
            if self.with_body:
                self.stream.write(printable(request.body.decode("utf-8", "replace")))
            self.stream.flush()
            if self.save is not None:
                save_request(self.save, self.count, request)
            if self.count == self.most:
                self.stop.set()
        return answer


def save_request(folder: Path, number: int, request: ReceivedRequest) -> None:
    """Write the headers and the exact body of a request to a file that only its owner can read."""
    # The id comes from the network: use only safe characters of it in the file name.
    name = re.sub(r"[^A-Za-z0-9_-]", "", request.headers.get("webhook-id", ""))[:80] or "without-id"
    descriptor = os.open(folder / f"{number:05d}-{name}.http", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        lines = [f"{name}: {request.headers[name]}" for name in SAVED_HEADERS if name in request.headers]
        file.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body)


def facts_of(request: ReceivedRequest, problems: Sequence[str], answer: ScriptedResponse) -> dict[str, Any]:
    """Return the facts of a request that are printed, without its body."""
    event = request.event if isinstance(request.event, dict) else {}
    return {
        "at": datetime.fromtimestamp(request.arrived_at, UTC).isoformat(timespec="milliseconds"),
        "type": event.get("type"),
        "id": request.headers.get("webhook-id"),
        "attempt": request.headers.get("tms-attempt"),
        "seen": request.seen,
        "verified": request.verified,
        "problems": problems,
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
