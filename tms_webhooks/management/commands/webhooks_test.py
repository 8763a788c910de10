"""``manage.py webhooks_test``: send a test to a webhook now, and print the result; or listen for its requests here."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import ErrorClass
from tms_webhooks.db import clock
from tms_webhooks.delivery.signing import ID_HEADER
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import UnknownEventType, UnsafeURL
from tms_webhooks.listener import Listener, ReceivedRequest, ScriptedResponse
from tms_webhooks.manage.tests import TestSendResult, send_test
from tms_webhooks.management.base import (
    WebhooksCommand,
    add_options,
    bad_input,
    no_worker,
    row_id,
    stop_on_signal,
    webhook_of,
)
from tms_webhooks.models import Webhook
from tms_webhooks.net.urls import LOOPBACK, check_url, fixed_address

REFUSED = (ErrorClass.DNS_ERROR, ErrorClass.BLOCKED_ADDRESS, ErrorClass.INVALID_URL)
ALLOWING = (
    "The settings decide which URLs are allowed: "
    "TMS_WEBHOOKS with ALLOWED_SCHEMES, ALLOWED_PORTS, UNCHECKED_HOSTS and UNCHECKED_CIDRS."
)
"""The remedy of the operator, whom the messages for customers ask."""


class Command(WebhooksCommand):
    """Send one request in the same way as any delivery, or receive requests."""

    help = (
        "Send a test to a webhook now, even if the webhook is paused or disabled. Print the receiver's answer and its time; "
        "--json has the time of each part. A success enables a webhook that was disabled because of failures. "
        "Exit status 0: the receiver accepted it. 1: it did not. 2: the webhook, the event or the object does not exist. "
        "With --listen, be the receiver instead, where the URL of the webhook leads, until SIGTERM or SIGINT. It "
        "verifies requests and prints a line for each. Exit status 0: it ended as requested. 1: a request did not verify. 2: it could not "
        "start. Requests come only if TMS_WEBHOOKS allows the host, the port and http."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("webhook", type=row_id, help="the webhook's id; webhooks_health lists them")
        parser.add_argument(
            "--event",
            default="",
            metavar="NAME",
            help=f"the type whose sample is sent; default: the first that the webhook subscribes to, or {TEST}",
        )
        parser.add_argument(
            "--subject", default="", metavar="NOUN:ID", help="a real object instead of the sample, such as class:8840"
        )
        add_options(parser, "--json")
        parser.add_argument(
            "--listen", action="store_true", help="receive its requests on this machine, and send nothing"
        )

    def handle(self, *, webhook: str, listen: bool, **options: Any) -> None:
        """Send the test or listen, and print the result."""
        if listen and (options["event"] or options["subject"] or options["as_json"]):
            raise bad_input("--listen sends nothing; leave out --event, --subject and --json.")
        target = webhook_of(webhook)
        if listen:
            self.listen(target)
        else:
            self.send(target, **options)

    def send(self, target: Webhook, *, event: str, subject: str, as_json: bool, **_options: Any) -> None:
        """Send the test; exit with 1 if the receiver does not accept it."""
        try:
            sent = send_test(target, actor=current_actor(), event_type=event, subject=subject)
        except UnknownEventType as error:
            raise bad_input(f"{error} webhooks_catalogue lists the event types.") from error
        facts = facts_of(sent)
        self.print(facts, in_words(facts), as_json=as_json)
        if not sent.result.outcome.success:
            raise SystemExit(1)

    def listen(self, webhook: Webhook) -> None:
        """Print a line for each request until a signal; exit with 1 if one did not verify."""
        host, port = address_of(webhook)
        lock, verified = threading.Lock(), list[bool]()

        def respond(request: ReceivedRequest) -> ScriptedResponse:
            response = ScriptedResponse(HTTPStatus.NO_CONTENT if request.verified else HTTPStatus.UNAUTHORIZED)
            with lock:
                verified.append(request.verified)
                self.stdout.write(line_of(request, response))
                self.stdout.flush()
            return response

        with stop_on_signal() as stop:
            secrets = webhook.signing_secrets(timezone.now())
            try:
                listener = Listener(respond, secrets=lambda: secrets, host=host, port=port)
            except OSError as error:
                raise bad_input(f"Can't listen on {host}:{port}: {error}") from error
            self.stderr.write(f"Listening on {webhook.url.partition('?')[0]} (stop with Ctrl-C)", self.style.SUCCESS)
            if note := no_worker(clock.measured_now()):
                self.stderr.write(note, self.style.WARNING)
            stop.wait()
            listener.close()
        if not verified:
            self.stderr.write(
                f"No request came. webhooks_tail --webhook {webhook.pk} shows its attempts, and webhooks_health why it gets none."
            )
        if not all(verified):
            raise SystemExit(1)


def address_of(webhook: Webhook) -> tuple[str, int]:
    """Return the host and the port to listen on; raise `CommandError` if requests of the webhook do not come there."""
    try:
        url = check_url(webhook.url)
    except UnsafeURL as error:
        raise bad_input(f"Webhook {webhook.pk} sends nothing to this machine. {error} {ALLOWING}") from error
    host = fixed_address(url.host)
    if url.scheme != "http" or host is None or not ip_address(host).is_loopback:
        raise bad_input(
            f"Webhook {webhook.pk} sends to {webhook.url.partition('?')[0]}, and not to this machine by http. Change its URL "
            f"to one such as http://{LOOPBACK}:9000/."
        )
    return host, url.port


def line_of(request: ReceivedRequest, response: ScriptedResponse) -> str:
    """Return one line for a request, and a further one for the reason why it does not verify."""
    event = request.event if isinstance(request.event, dict) else {}
    at = datetime.fromtimestamp(request.arrived_at, UTC).isoformat(timespec="milliseconds")[11:23]
    verdict = "verified" if request.verified else "NOT VERIFIED"
    name = f"{event.get('type', '-')}  {request.headers.get(ID_HEADER) or '-'}"
    # The sender is not trusted: a terminal obeys control characters.
    printable = "".join(one if one.isprintable() else "\ufffd" for one in name)
    line = f"{at}  {printable}  {verdict}  -> {int(response.status)}"
    return f"{line}\n  {request.problem}" if request.problem else line


def facts_of(sent: TestSendResult) -> dict[str, Any]:
    """Return the facts that are printed, without the bodies of the request and the answer."""
    result = sent.result
    return {
        "delivery": sent.delivery.pk,
        "success": result.outcome.success,
        "status": result.status,
        "error": result.outcome.error_class or None,
        "message": result.outcome.message,
        "seconds": round(result.seconds, 3),
        "timing": result.timing._asdict(),
        "bytes": len(sent.body),
        "healed": sent.healed,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line, and a further line for what the operator or the webhook's owner should know."""
    verdict = "Accepted" if facts["success"] else "Not accepted"
    result = f"status {facts['status']}" if facts["status"] else f"{facts['error']}: {facts['message'].rstrip('.')}"
    took = f"Delivery {facts['delivery']} took {facts['seconds']:.3f} s, with a body of {facts['bytes']} bytes."
    lines = [f"{verdict}: {result}. {took}"]
    if facts["error"] in REFUSED:
        lines.append(f"  {ALLOWING}")
    if facts["healed"]:
        lines.append("  The webhook is enabled again.")
    return "\n".join(lines)
