"""Safe writes: ``Idempotency-Key`` to repeat one, ``If-Match`` to change only the state that the caller has read.

A POST that is sent twice is done once. The second gets the stored response of the first, without a secret, if the caller
still has the rights that the first request needed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias

from django.core.serializers import serialize
from django.db import IntegrityError, transaction
from rest_framework.response import Response

from tms_webhooks.actors import Actor
from tms_webhooks.api.json_format import CompactJSONRenderer
from tms_webhooks.api.problems import Problem, problem_at
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.idempotency import IdempotentRequest, digest_of

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
STORED_HEADERS = ("Location", "ETag")
"""The headers that are stored with a response."""
NOT_STORED = {"secret"}
"""The fields of a response that a stored response has as null."""
RETRY_SECONDS = 1
"""``Retry-After`` while the first request is in progress."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


Right: TypeAlias = tuple[str, str, str]
"""The word ``organization`` or ``webhook``, the key of its row, and an action of the policy: see `ResourceViewSet`."""


class RequestReplayed(Exception):
    """The request was done before; the argument is its stored response."""


def claim(request: Any, caller: Actor, *, scope: str, now: datetime) -> IdempotentRequest | None:
    """Return the row of a request's idempotency key, or None without a key. It has a status if the request was done before.

    ``scope`` identifies the caller: the same key of another caller is another key. Raise a `Problem` if the first request
    with this key is still in progress, or if the key was used for a different request.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise problem_at("header", HEADER, "invalid", "Use 1 to 255 visible ASCII characters, such as a UUID.")
    if not caller.id:
        detail = "Omit the header: your credentials don't identify you, so another caller could get your response."
        raise problem_at("header", HEADER, "no_caller", detail)
    digest = digest_of(scope, key)
    # The parsed body: a retry may have other whitespace.
    body = json.dumps(request.data, sort_keys=True)
    fingerprint = digest_of(request.method, request.get_full_path(), body)
    rows = IdempotentRequest.objects.all()
    rows.outdated(now).filter(digest=digest).delete()
    try:
        with transaction.atomic(using=rows.db):
            return rows.create(digest=digest, fingerprint=fingerprint, created_at=now)
    except IntegrityError:
        stored = rows.filter(digest=digest).first()
    if stored is not None and stored.fingerprint != fingerprint:
        detail = f"This {HEADER} was used for a different request; use a new key for each request."
        raise Problem("idempotency-key-reused", detail)
    if stored is None or stored.status_code is None:
        detail = "The first request with this key is still in progress."
        raise Problem("request-in-progress", detail, retry_after=RETRY_SECONDS)
    return stored


def store_response(claimed: IdempotentRequest, response: Response, rights: Collection[Right]) -> None:
    """Store the response of a request for later requests with the same key, without its secret, and the rights that it needed."""
    data = response.data
    if isinstance(data, Mapping):
        data = {name: None if name in NOT_STORED else value for name, value in data.items()}
    claimed.finish(
        status_code=response.status_code,
        headers={name: response[name] for name in STORED_HEADERS if name in response},
        answer=CompactJSONRenderer().render(data).decode(),
        rights=sorted(map(list, rights)),
    )


def stored_response(stored: IdempotentRequest) -> Response:
    """Return the response that `store_response` stored."""
    try:
        answer = reveal(stored.answer)
    except SecretError as error:
        raise Problem("conflict", "The first request was done, but its stored response can't be decrypted.") from error
    headers = {**stored.headers, REPLAYED_HEADER: "true"}
    return Response(json.loads(answer) if answer else None, status=stored.status_code, headers=headers)


_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
# Weak tags too: a proxy that compresses a response makes its tag weak. Our tags identify a state, not bytes.
_ANY_TAG = rf"(?:W/)?{_TAG.pattern}"
_TAGS = re.compile(rf"\s*(?:\*|{_ANY_TAG}(?:\s*,\s*{_ANY_TAG})*)\s*")


def etag_of(webhook: Webhook) -> str:
    """Return the entity tag of a webhook with its subscriptions and secrets. It changes with each editable field."""
    rows = [webhook, *sorted(webhook.subscriptions.all(), key=attrgetter("pk")), *webhook.secrets.order_by("pk")]
    # Encrypted values are masked in the text; a change of one changes `updated_at`, too.
    return f'"{hashlib.sha256(serialize("json", rows).encode()).hexdigest()[:32]}"'


def require_match(request: Any, webhook: Webhook) -> None:
    """Raise a `Problem` if ``If-Match`` names another state of the webhook. The header is optional.

    Call it in the transaction of the change, with the webhook's row locked.
    """
    header = request.headers.get("If-Match")
    if header is None:
        return
    if not _TAGS.fullmatch(header):
        remedy = 'Use the ETag of a response unchanged, with its quotes, or "*".'
        raise problem_at("header", "If-Match", "invalid", remedy)
    if header.strip() != "*" and etag_of(webhook) not in _TAG.findall(header):
        detail = "The webhook has changed since you read it; read it again before you change it."
        raise Problem("precondition-failed", detail)
