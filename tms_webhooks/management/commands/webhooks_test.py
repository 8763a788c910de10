"""``manage.py webhooks_test``: send a test to a webhook now, and print the result; or listen for its requests here."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.db import clock
from tms_webhooks.event_names import TEST, is_operational, matching
from tms_webhooks.exceptions import (
    LimitReached,
    PayloadError,
    PullOnlyWebhook,
    SubjectError,
    UnknownEventType,
    WebhooksError,
)
from tms_webhooks.listener import Misbehavior
from tms_webhooks.manage.tests import TestSendResult, send_test
from tms_webhooks.management import base as arguments
from tms_webhooks.management.base import WebhooksCommand, add_options, bad_input, webhook_of
from tms_webhooks.management.listening import PORT, Receiver, address_of, notes_on, secrets_of
from tms_webhooks.management.process import stop_on_signal
from tms_webhooks.management.reasons import ALLOWING, REFUSED
from tms_webhooks.models import Webhook
from tms_webhooks.net.urls import LOOPBACK
from tms_webhooks.outbox.example_events import example_event, first_type

LISTEN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--host": {"help": f"address to listen on; default: that of the webhook's URL, or {LOOPBACK}"},
    "--port": {"type": arguments.port, "help": f"default: that of the webhook's URL, or {PORT}; 0: a free port"},
    "--secret-env": {
        "type": arguments.variable,
        "default": "WEBHOOK_SECRET",
        "metavar": "NAME",
        "help": "without a webhook, the environment variable with the secret; default: WEBHOOK_SECRET",
    },
    "--fail-first": {"type": arguments.count, "default": 0, "metavar": "N", "help": "fail N times per event"},
    "--fail-share": {
        "type": arguments.share,
        "default": 0.0,
        "metavar": "SHARE",
        "help": "fail this share of requests at random",
    },
    "--fail-with": {
        "type": arguments.status,
        "default": 503,
        "metavar": "STATUS",
        "help": "status of failures; default: 503",
    },
    "--delay": {"type": arguments.seconds, "default": 0.0, "metavar": "SECONDS", "help": "delay each answer"},
    "--requests": {"type": arguments.count, "default": 0, "metavar": "N", "help": "end after N requests"},
    "--save": {"type": Path, "metavar": "FOLDER", "help": "write each request to a file in this folder"},
    "--body": {
        "action": "store_true",
        "default": False,
        "help": "print the bodies too; they may contain personal data",
    },
}


class Command(WebhooksCommand):
    """Send one request in the same way as any delivery, or receive requests."""

    help = (
        "Send a test to a webhook now, even if the webhook is paused or disabled. The test is the sample of an event, or the "
        "event of a real object. Print the receiver's answer and the time of each part. A success enables a webhook that "
        "was disabled because of failures. "
        "Exit status 0: the receiver accepted it. 1: it did not. 2: the webhook, the event or the object does not exist. "
        "With --listen, be the receiver instead: receive webhooks on this machine, verify them and print a line for each. It "
        "listens where the URL of the webhook leads, and verifies with its secrets. It can fail on purpose. It ends after "
        "SIGTERM, SIGINT or --requests. Exit status 0: it ended as requested. 1: a request did not verify. 2: it could not "
        "start. Webhooks reach it only if TMS_WEBHOOKS allows the host, the port and http."
    )
    always_connects = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "webhook", nargs="?", type=arguments.row_id, help="the webhook's id; with --listen, it may be left out"
        )
        parser.add_argument(
            "--event",
            default="",
            metavar="NAME",
            help=f"the type whose sample is sent; default: the first that the webhook subscribes to, or {TEST}",
        )
        parser.add_argument(
            "--subject", default="", metavar="NOUN:ID", help="a real object instead of the sample, such as class:8840"
        )
        add_options(parser, "--dry-run", help="check the event and the object, print the target, and send nothing")
        add_options(parser, "--json", help="print one JSON object; with --listen, one per line")
        parser.add_argument("--listen", action="store_true", help="receive webhooks on this machine, and send nothing")
        group = parser.add_argument_group("with --listen")
        for name, option in LISTEN_OPTIONS.items():
            group.add_argument(name, **option)

    def handle(self, *, webhook: str | None, listen: bool, **options: Any) -> None:
        """Send the test or listen, and print the result."""
        if listen and (options["event"] or options["subject"] or options["dry_run"]):
            raise bad_input("--listen sends nothing; leave out --event, --subject and --dry-run.")
        for name, option in LISTEN_OPTIONS.items():
            if not listen and options[name.strip("-").replace("-", "_")] != option.get("default"):
                raise bad_input(f"{name} needs --listen.")
        target = None
        if webhook is not None:
            self.connect()
            target = webhook_of(webhook)
        if listen:
            self.listen(target, **options)
        elif target is None:
            raise bad_input("Give the id of a webhook. webhooks_health lists the webhooks with their ids.")
        else:
            self.send(target, **options)

    def send(self, target: Webhook, *, event: str, subject: str, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Send the test; exit with 1 if the receiver does not accept it."""
        actor, event = current_actor(), event or first_type(target)
        try:
            if dry_run:
                example_event(target, event, subject=subject, actor=actor, now=timezone.now())
                what = f"{event} about {subject}" if subject else event
                self.stdout.write(f"{what} would go to {target.name} (webhook {target.pk}); nothing was sent.")
                return
            sent = send_test(target, actor=actor, event_type=event, subject=subject)
        except (UnknownEventType, SubjectError, PayloadError, PullOnlyWebhook, LimitReached) as error:
            raise bad_input(explained(error, event, subject)) from error
        facts = facts_of(sent)
        self.print(facts, lambda: in_words(facts), as_json=as_json)
        if not sent.result.outcome.success:
            raise SystemExit(1)

    def listen(self, webhook: Webhook | None, **options: Any) -> None:
        """Listen until a signal or --requests; exit with 1 if a request did not verify."""
        address = address_of(webhook, host=options["host"], port=options["port"])
        secrets = secrets_of(webhook, variable=options["secret_env"])
        failing = Misbehavior(options["fail_with"], options["fail_first"], options["fail_share"], options["delay"])
        output = options["requests"], options["save"], options["body"], options["as_json"]
        with stop_on_signal() as stop:
            receiver = Receiver(self.stdout, address, failing, stop, *output)
            listener = receiver.listen(secrets)
            self.stderr.write(f"Listening on {address.url(listener.port)} (stop with Ctrl-C)", self.style.SUCCESS)
            for note in () if webhook is None else notes_on(webhook, now=clock.measured_now()):
                self.stderr.write(note, self.style.WARNING)
            stop.wait()
            listener.close()
        if receiver.count == 0 and webhook is not None:
            self.stderr.write(f"No request came. The attempts of the webhook: webhooks_tail --webhook {webhook.pk}")
        if receiver.wrong:
            raise SystemExit(1)


def explained(error: WebhooksError, event: str, subject: str) -> str:
    """Return the text of an error, with the options of this command where it names none."""
    if isinstance(error, UnknownEventType):
        return f"{error} webhooks_catalogue lists the event types."
    if isinstance(error, SubjectError) and is_operational(event) and error.code == "wrong_noun":
        noun = subject.partition(":")[0]
        names = [] if is_operational(f"{noun}.") else matching(f"{noun}.*")
        other = f", or name an event type of {noun}, such as --event {names[0]}" if names else ""
        return f"{event} has no object. Omit --subject{other}."
    return str(error)


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
        "timing": asdict(result.timing),
        "bytes": len(sent.body),
        "healed": sent.healed,
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line, and a second line with the time of each part."""
    verdict = "Accepted" if facts["success"] else "Not accepted"
    seconds, size, delivery = f"{facts['seconds']:.3f} s", f"{facts['bytes']} bytes", facts["delivery"]
    if facts["status"]:
        lines = [f"{verdict}: status {facts['status']}, in {seconds}, {size}, delivery {delivery}."]
    else:
        # The message ends with its remedy, so the figures get a sentence of their own.
        message = facts["message"].rstrip(".")
        lines = [f"{verdict}: {facts['error']}: {message}. Delivery {delivery} took {seconds}, with a body of {size}."]
    parts = {name: seconds for name, seconds in facts["timing"].items() if seconds is not None}
    if parts:
        lines.append("  " + ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in parts.items()))
    if facts["error"] in REFUSED:
        lines.append(f"  {ALLOWING}")
    if facts["healed"]:
        lines.append("  The webhook is enabled again.")
    return "\n".join(lines)
