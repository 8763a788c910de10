"""``manage.py webhooks_verify``: check the signature of a captured request, and explain a wrong one."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from tms_webhooks.delivery import verification
from tms_webhooks.delivery.verification import TOLERANCE, verify
from tms_webhooks.delivery.verify_request import body_sent, delivery_of, stamp_of, verify_request
from tms_webhooks.exceptions import SecretError
from tms_webhooks.management.base import WebhooksCommand, bad_input, moment, row_id, variable, webhook_of
from tms_webhooks.management.base import seconds as number_of_seconds
from tms_webhooks.management.listening import secrets_of
from tms_webhooks.models import Webhook

STANDARD_INPUT = "-"


class Command(WebhooksCommand):
    """Print the result; the exit status is 0 for a right signature."""

    help = (
        "Check the signature of a captured request, and explain a wrong one: a changed body, a rotated "
        "secret, or a wrong clock. The file has the request's header lines, an empty line and the exact bytes "
        "of the body, as written by webhooks_test --listen --save. Exit status 0: the signature is right. 1: it is "
        "wrong. 2: it can't be checked."
    )
    requires_system_checks = ()
    always_connects = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("file", help="the captured request; - for standard input")
        secret_source = parser.add_mutually_exclusive_group()
        secret_source.add_argument(
            "--webhook", type=row_id, metavar="ID", help="verify with the secrets of this webhook"
        )
        secret_source.add_argument(
            "--secret-env",
            type=variable,
            default="WEBHOOK_SECRET",
            metavar="NAME",
            help="the environment variable with the secret; default: WEBHOOK_SECRET",
        )
        parser.add_argument(
            "--at", type=moment, metavar="WHEN", help="arrival time; default: the time of the signature"
        )
        parser.add_argument(
            "--tolerance",
            type=number_of_seconds,
            default=TOLERANCE,
            metavar="SECONDS",
            help="allowed difference of the timestamp; default: 300",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(
        self,
        *,
        file: str,
        webhook: str | None,
        secret_env: str,
        at: datetime | None,
        tolerance: float,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Verify the request, print the problems and exit."""
        request = read(file)
        if webhook is None:
            verdict = verify(
                secrets=secrets_of(None, variable=secret_env),
                headers=request.headers,
                body=request.body,
                now=stamp_of(request.headers) if at is None else at.timestamp(),
                tolerance=tolerance,
            )
        else:
            verdict = verified(webhook_of(webhook), request, at=at, tolerance=tolerance)
        if as_json:
            self.stdout.write(json.dumps({"right": verdict.valid, "problems": verdict.problems}))
        else:
            self.stdout.write("\n".join(verdict.problems) or "The signature is right.")
        sys.exit(0 if verdict.valid else 1)


def read(file: str) -> verification.CapturedRequest:
    """Return the captured request in a file; raise `CommandError` if it can't be read."""
    try:
        raw = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
        return verification.read(raw)
    except OSError as error:
        raise bad_input(f"{file} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise bad_input(f"{file}: {error}") from None


def verified(
    webhook: Webhook, request: verification.CapturedRequest, *, at: datetime | None, tolerance: float
) -> verification.VerificationResult:
    """Return the result for a request of this webhook; raise `CommandError` if a secret can't be decrypted."""
    sent = body_sent(delivery_of(webhook, request.headers))
    try:
        return verify_request(
            webhook, request, now=timezone.now(), arrived_at=at, tolerance=tolerance, sent=sent
        ).result
    except SecretError as error:
        raise bad_input(str(error)) from error
