"""Access tokens of OAuth 2 webhooks: one row for each webhook, for its worker, the next one, and test sends."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db import models

from tms_webhooks.choices import ErrorClass
from tms_webhooks.db.sql import PrimaryManager
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models.encryption import EncryptedTextField, reveal
from tms_webhooks.models.webhook import Webhook

LONGEST_ERROR = 500
"""Characters of a message."""


class KnownToken(NamedTuple):
    """A token as a worker knows it. ``failures`` are the requests for a token in a row that did not help."""

    value: str
    expires_at: datetime
    failures: int = 0

    def __repr__(self) -> str:
        return f"<KnownToken until {self.expires_at}>"


class AccessTokenManager(PrimaryManager["AccessToken"]):
    """Reads and writes the rows, each for the credentials with a fingerprint."""

    def of(self, webhook_id: int, fingerprint: str) -> AccessToken:
        """Return the row of a webhook; a new, unsaved one if it has none for these credentials."""
        own = self.filter(pk=webhook_id, fingerprint=fingerprint)
        return own.first() or self.model(webhook_id=webhook_id, fingerprint=fingerprint)

    def write(self, webhook_id: int, fingerprint: str, **values: Any) -> None:
        """Write these values. A token and an error of other credentials go."""
        row = self.of(webhook_id, fingerprint)
        for name, value in values.items():
            setattr(row, name, value)
        row.save()


class AccessToken(models.Model):
    """The access token of one webhook, and the last failure to get one.

    ``fingerprint`` identifies the credentials that the row is about: after a change of them, it counts no longer.
    """

    webhook = models.OneToOneField(Webhook, on_delete=models.CASCADE, primary_key=True, related_name="access_token")
    fingerprint = models.CharField(max_length=64, blank=True, default="")
    value = EncryptedTextField(bound_to="webhook_id", blank=True, default="")
    expires_at = models.DateTimeField(null=True)
    # Not a small integer: requests of users do not wait for ``retry_at``.
    failures = models.PositiveIntegerField(default=0)
    # No worker requests a token before it.
    retry_at = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=20, choices=ErrorClass.choices, blank=True, default="")
    error = models.CharField(max_length=LONGEST_ERROR, blank=True, default="")

    webhook_id: int

    objects = AccessTokenManager()

    def known(self, now: datetime) -> KnownToken | None:
        """Return the token, if it is valid now and can be decrypted."""
        if self.expires_at is None or self.expires_at <= now:
            return None
        try:
            value = reveal(self.value)
        except SecretError:
            return None
        return KnownToken(value, self.expires_at, self.failures) if value else None

    def last_error(self) -> DeliveryError | None:
        """Return the error of the last request for a token, or None if it was successful."""
        return DeliveryError(self.error, error_class=ErrorClass(self.error_class)) if self.error_class else None
