"""``manage.py webhooks_verify``: check the signature of a captured request, and explain a wrong one."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from tms_webhooks.delivery import verification
from tms_webhooks.delivery.signing import TIMESTAMP_HEADER
from tms_webhooks.delivery.verification import TOLERANCE, verify
from tms_webhooks.exceptions import SecretError
from tms_webhooks.management.arguments import moment, row_id, variable
from tms_webhooks.management.arguments import seconds as number_of_seconds
from tms_webhooks.management.lookups import bad_input, secret_from, secrets_of, webhook_of
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.worker.request_preview import body_sent

STANDARD_INPUT = "-"


class Command(BaseCommand):
    """Print the result; the exit status is 0 for a right signature."""

    help = (
        "Check the signature of a captured request, and explain a wrong one: a changed body, a rotated "
        "secret, or a wrong clock. The file has the request's header lines, an empty line and the exact bytes "
        "of the body, as written by webhooks_listen --save. Exit status 0: the signature is right. 1: it is "
        "wrong. 2: it can't be checked."
    )
    requires_system_checks: list[str] = []

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
        facts = (
            {"secrets": [secret_from(secret_env)]}
            if webhook is None
            else known_facts(webhook_of(webhook), request.headers)
        )
        now = moment_of(request.headers) if at is None else at.timestamp()
        verdict = verify(headers=request.headers, body=request.body, now=now, tolerance=tolerance, **facts)
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


def known_facts(webhook: Webhook, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the secrets of the webhook, and the body that it sent with this id, as arguments of `verify`."""
    now = timezone.now()
    current = secrets_of(webhook, now=now)
    return {"secrets": current, "retired": retired(webhook, now=now), "sent": body_sent(webhook, headers)}


def retired(webhook: Webhook, *, now: datetime) -> Sequence[str]:
    """Return the secrets that no longer sign, except those that can't be decrypted."""
    secrets = []
    for secret in webhook.secrets.filter(expires_at__lte=now):
        try:
            secrets.append(reveal(secret.value))
        except SecretError:
            continue
    return secrets


def moment_of(headers: Mapping[str, str]) -> float:
    """Return the time of the request's timestamp header, in seconds since 1970; 0.0 if it is not a number."""
    stamp = headers.get(TIMESTAMP_HEADER, "")
    return float(stamp) if stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12 else 0.0
