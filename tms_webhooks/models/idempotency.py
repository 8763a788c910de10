"""API requests with an idempotency key, and their responses."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from tms_webhooks.db.sql import PrimaryManager
from tms_webhooks.models.encryption import EncryptedTextField

KEPT = timedelta(days=1)
"""How long the answer to an ``Idempotency-Key`` is kept."""
ABANDONED_AFTER = timedelta(minutes=2)
"""A request without a response by then died with its process: the slowest, a test send, takes half a minute."""


class IdempotentRequestQuerySet(models.QuerySet["IdempotentRequest"]):
    """Filters for requests."""

    def outdated(self, now: datetime) -> IdempotentRequestQuerySet:
        """Keep those whose key may be used again: answered long ago, or never."""
        kept_since = now - KEPT
        return self.filter(
            Q(created_at__lt=kept_since) | Q(status_code__isnull=True, created_at__lt=now - ABANDONED_AFTER)
        )

    def use_once(self, digest: str, *, now: datetime) -> bool:
        """Record that something is used; return whether the caller is the first of all processes to use it.

        The record is kept for a day.
        """
        values = {"created_at": now, "status_code": 200}
        _row, is_first = self.get_or_create(digest=digest, defaults=values)
        return is_first


class IdempotentRequest(models.Model):
    """One request with an idempotency key. Without a ``status_code`` it is in progress.

    ``rights`` are what the policy allowed to the caller: `tms_webhooks.api.safe_writes.Right`. The stored response is
    returned only to a caller who still has them. Its body, ``answer``, holds no secret, and is encrypted: it may hold
    payloads.
    """

    digest = models.CharField(max_length=64, unique=True)
    fingerprint = models.CharField(max_length=64)
    # Indexed for `outdated`.
    created_at = models.DateTimeField(db_index=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    rights = models.JSONField(default=list)
    headers = models.JSONField(default=dict)
    answer = EncryptedTextField(bound_to="digest", blank=True, default="")

    objects = PrimaryManager.from_queryset(IdempotentRequestQuerySet)()

    def finish(self, *, status_code: int, headers: dict[str, Any], answer: str, rights: list[list[str]]) -> None:
        """Store the response. Call it in the transaction of the change that the request made."""
        self.status_code, self.headers, self.answer, self.rights = status_code, headers, answer, rights
        self.save(update_fields=["status_code", "headers", "answer", "rights"])

    def release(self) -> None:
        """Free the key, because the request changed nothing."""
        type(self).objects.filter(pk=self.pk, status_code__isnull=True).delete()


def digest_of(*parts: str) -> str:
    """Return one digest of several parts: ``("ab", "c")`` and ``("a", "bc")`` have different ones."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()
