"""``Idempotency-Key``: the same POST sent twice is done once, and the second gets the stored response of the first.

The stored response has no secret, and is for a caller who still has the rights that the first request needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NoReturn

from django.db import IntegrityError, router, transaction
from rest_framework.response import Response

from tms_webhooks.actors import Actor
from tms_webhooks.api.json_format import CompactJSONRenderer
from tms_webhooks.api.problems import Conflict, ErrorItem, IdempotencyKeyReused, InvalidRequest, RequestInProgress
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.idempotency import IdempotentRequest, digest_of

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
STORED_HEADERS = ("Location", "ETag")
"""The headers that are stored with a response."""
NOT_STORED = frozenset({"secret"})
"""The fields of a response that a stored response has as null."""
RETRY_SECONDS = 1
"""``Retry-After`` while the first request is in progress."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


Rights = Collection[tuple[str, str]]
"""Actions of the policy, each with the key of an organization."""


class RequestReplayed(Exception):
    """The request was done before; ``response`` is its stored response, and ``rights`` are those that it needs."""

    def __init__(self, response: Response, rights: Rights) -> None:
        super().__init__("the request was done before")
        self.response = response
        self.rights = rights


def claim(request: Any, caller: Actor, *, scope: str, now: datetime) -> IdempotentRequest | None:
    """Reserve the idempotency key of a request and return its row, or None for a request without a key.

    ``scope`` identifies the caller: the same key of another caller is another key.

    Raises:
        RequestReplayed: The request was done before.
        RequestInProgress: The first request with this key is still in progress.
        IdempotencyKeyReused: The key was used for a different request.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        item = ErrorItem("header", HEADER, "invalid", "Use 1 to 255 visible ASCII characters, such as a UUID.")
        raise InvalidRequest(f"The header {HEADER} is invalid.", errors=[item])
    if not caller.id:
        detail = "Omit the header: your credentials don't identify you, so another caller could get your response."
        item = ErrorItem("header", HEADER, "no_caller", detail)
        raise InvalidRequest(f"The header {HEADER} can't be used.", errors=[item])
    digest = digest_of(scope, key)
    # The parsed body: a retry may have other whitespace.
    body = json.dumps(request.data, sort_keys=True)
    fingerprint = digest_of(request.method, request.get_full_path(), body)
    rows = IdempotentRequest.objects.using(router.db_for_write(IdempotentRequest))
    rows.outdated(now).filter(digest=digest).delete()
    try:
        with transaction.atomic(using=rows.db):
            return rows.create(digest=digest, fingerprint=fingerprint, created_at=now)
    except IntegrityError:
        _raise_for_used_key(rows.filter(digest=digest).first(), fingerprint)


def store_response(claimed: IdempotentRequest, response: Response, rights: Rights) -> None:
    """Store the response of a request for later requests with the same key, without its secret."""
    data = response.data
    if isinstance(data, Mapping):
        data = {name: None if name in NOT_STORED else value for name, value in data.items()}
    claimed.finish(
        status_code=response.status_code,
        headers={name: response[name] for name in STORED_HEADERS if name in response},
        answer=CompactJSONRenderer().render(data).decode(),
        rights=sorted(map(list, rights)),
    )


def _raise_for_used_key(stored: IdempotentRequest | None, fingerprint: str) -> NoReturn:
    if stored is not None and stored.fingerprint != fingerprint:
        raise IdempotencyKeyReused(f"This {HEADER} was used for a different request; use a new key for each request.")
    if stored is None or stored.status_code is None:
        raise RequestInProgress("The first request with this key is still in progress.", retry_after=RETRY_SECONDS)
    try:
        answer = reveal(stored.answer)
    except SecretError as error:
        raise Conflict("The first request was done, but its stored response can't be decrypted.") from error
    response = Response(
        json.loads(answer) if answer else None,
        status=stored.status_code,
        headers={**stored.headers, REPLAYED_HEADER: "true"},
    )
    raise RequestReplayed(response, [(action, organization) for action, organization in stored.rights])
