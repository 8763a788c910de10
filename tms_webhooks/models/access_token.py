"""Access tokens of OAuth 2 webhooks: one row for each webhook, shared by all workers of the database.

A worker that needs a token takes the row's lease and requests one; the others wait for the row. ``version`` counts the
changes, so that a worker that read the row before another one changed it takes no lease.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models, router
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models.encryption import EncryptedTextField, reveal
from tms_webhooks.models.webhook import Webhook

LONGEST_ERROR = 500
"""Characters of a message."""


class KnownToken(NamedTuple):
    """A token as a worker knows it: its value, when it expires, and the state of its row.

    ``failures`` are the refreshes in a row that did not help.
    """

    value: str
    expires_at: datetime
    version: int = 0
    failures: int = 0

    def __repr__(self) -> str:
        return f"<KnownToken until {self.expires_at}>"


class AccessTokenQuerySet(models.QuerySet["AccessToken"]):
    """Reads and changes the rows. Each change is one statement, and needs no transaction."""

    def of(self, webhook_id: int) -> AccessToken:
        """Return the row of a webhook; create it if it is missing."""
        rows = self.using(router.db_for_write(self.model))
        found = rows.filter(pk=webhook_id).first()
        if found is None:
            rows.bulk_create([self.model(webhook_id=webhook_id)], ignore_conflicts=True)
            found = rows.get(pk=webhook_id)
        return found

    def take_lease(self, row: AccessToken, *, fingerprint: str, lease: str, now: datetime, until: datetime) -> bool:
        """Take the lease of a row, as it was read, for credentials with this fingerprint; return whether that worked.

        A token, an error and a lease of other credentials count no longer.
        """
        values: dict[str, Any] = {"lease": lease, "lease_until": until, "version": F("version") + 1}
        if row.fingerprint != fingerprint:
            cleared = {"value": "", "expires_at": None, "failures": 0, "retry_at": None, "error": "", "error_class": ""}
            values |= {"fingerprint": fingerprint, **cleared}
        unchanged = self._of_version(row.pk, row.version)
        if row.fingerprint == fingerprint:
            unchanged = unchanged.filter(Q(lease_until__isnull=True) | Q(lease_until__lte=now))
        return bool(unchanged.update(**values))

    def store(self, webhook_id: int, token: KnownToken, *, lease: str) -> int:
        """Store a token and give the lease back; return the number of rows: 0 if another worker has the lease."""
        field: Any = self.model._meta.get_field("value")
        return self._held(webhook_id, lease).update(
            value=field.seal(token.value, webhook_id),
            expires_at=token.expires_at,
            version=F("version") + 1,
            error="",
            error_class="",
            **_FREE,
        )

    def fail(self, webhook_id: int, error: DeliveryError, *, lease: str, retry_at: datetime) -> int:
        """Note that no token was issued, and give the lease back; no worker requests one before ``retry_at``."""
        return self._held(webhook_id, lease).update(
            error=str(error)[:LONGEST_ERROR],
            error_class=error.error_class,
            retry_at=retry_at,
            failures=F("failures") + 1,
            version=F("version") + 1,
            **_FREE,
        )

    def refuse(self, webhook_id: int, *, version: int, retry_at: datetime) -> int:
        """Note that the receiver refused a fresh token, too: no worker renews it before ``retry_at``."""
        rows = self._of_version(webhook_id, version)
        return rows.update(retry_at=retry_at, failures=F("failures") + 1, version=F("version") + 1)

    def accept(self, webhook_id: int, *, version: int) -> int:
        """Note that the receiver accepted the token, which it had refused before."""
        return self._of_version(webhook_id, version).update(retry_at=None, failures=0, version=F("version") + 1)

    def _held(self, webhook_id: int, lease: str) -> AccessTokenQuerySet:
        return self.using(router.db_for_write(self.model)).filter(pk=webhook_id, lease=lease)

    def _of_version(self, webhook_id: int, version: int) -> AccessTokenQuerySet:
        return self.using(router.db_for_write(self.model)).filter(pk=webhook_id, version=version)


_FREE = {"lease": "", "lease_until": None}


class AccessToken(models.Model):
    """The access token of one webhook, and the last failure to get one.

    ``fingerprint`` identifies the credentials that the row is about: after a change of them, it counts no longer.
    """

    webhook = models.OneToOneField(Webhook, on_delete=models.CASCADE, primary_key=True, related_name="access_token")
    fingerprint = models.CharField(max_length=64, blank=True, default="")
    value = EncryptedTextField(bound_to="webhook_id", blank=True, default="")
    expires_at = models.DateTimeField(null=True)
    lease = models.CharField(max_length=32, blank=True, default="")
    lease_until = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=0)
    # Not a small integer: requests of users do not wait for ``retry_at``.
    failures = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)
    error_class = models.CharField(max_length=20, choices=ErrorClass.choices, blank=True, default="")
    error = models.CharField(max_length=LONGEST_ERROR, blank=True, default="")

    if TYPE_CHECKING:
        webhook_id: int

    objects = AccessTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("access token")
        verbose_name_plural = _("access tokens")

    def __str__(self) -> str:
        return f"access token of webhook {self.webhook_id}"

    def known(self, fingerprint: str, now: datetime) -> KnownToken | None:
        """Return the token for these credentials, if it is valid now and can be decrypted."""
        if self.fingerprint != fingerprint or self.expires_at is None or self.expires_at <= now:
            return None
        try:
            value = reveal(self.value)
        except SecretError:
            return None
        return KnownToken(value, self.expires_at, self.version, self.failures) if value else None

    def is_leased(self, fingerprint: str, now: datetime) -> bool:
        """Return whether a worker requests a token for these credentials."""
        return self.fingerprint == fingerprint and self.lease_until is not None and self.lease_until > now

    def waits(self, fingerprint: str, now: datetime) -> bool:
        """Return whether it is too early to request a token again after a failure."""
        return self.fingerprint == fingerprint and self.retry_at is not None and self.retry_at > now

    def last_error(self) -> DeliveryError | None:
        """Return the error of the last request for a token, or None if it was successful."""
        return DeliveryError(self.error, error_class=ErrorClass(self.error_class)) if self.error_class else None
