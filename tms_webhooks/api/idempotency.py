"""``Idempotency-Key``: a POST that is sent twice is done once, and answered twice."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, NoReturn

from django.db import IntegrityError, router, transaction
from rest_framework.response import Response

from tms_webhooks.actors import Actor
from tms_webhooks.api.bodies import PlainJSONRenderer
from tms_webhooks.api.problems import Conflict, Fault, IdempotencyKeyReused, InvalidRequest, RequestInProgress
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.idempotency import IdempotentRequest, digest_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_HEADERS = ("Location", "ETag")
NEXT_TRY = 1

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class AnsweredBefore(Exception):
    """The request was done before; ``response`` is what it was answered."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


def claim(request: Any, caller: Actor, *, scope: str, now: datetime) -> IdempotentRequest | None:
    """Take the key of a request; None where it has none. ``scope`` tells callers apart.

    Raises `AnsweredBefore` for a request that was done, `RequestInProgress` for one that is under way, and
    `IdempotencyKeyReused` for a key that came with another one. Keys of different callers have nothing to do with each other.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        fault = Fault("header", HEADER, "invalid", "Give 1 to 255 visible ASCII characters, such as a UUID.")
        raise InvalidRequest(f"The header {HEADER} is wrong.", faults=[fault])
    if not caller.id:
        detail = "Leave it out: your credentials don't tell you from others, who could be given your answer."
        fault = Fault("header", HEADER, "no_caller", detail)
        raise InvalidRequest(f"The header {HEADER} can't be used.", faults=[fault])
    digest = digest_of(scope, key)
    # What was parsed: a second request may be written with other blanks.
    body = json.dumps(request.data, sort_keys=True)
    fingerprint = digest_of(request.method, request.get_full_path(), body)
    rows = IdempotentRequest.objects.using(router.db_for_write(IdempotentRequest))
    rows.outdated(now).filter(digest=digest).delete()
    try:
        with transaction.atomic(using=rows.db):
            return rows.create(digest=digest, fingerprint=fingerprint, created_at=now)
    except IntegrityError:
        _refuse(rows.filter(digest=digest).first(), fingerprint)


def keep(claimed: IdempotentRequest, response: Response) -> None:
    """Keep the answer of a request for the next one with its key."""
    claimed.finish(
        status_code=response.status_code,
        headers={name: response[name] for name in KEPT_HEADERS if name in response},
        answer=PlainJSONRenderer().render(response.data).decode(),
    )


def _refuse(known: IdempotentRequest | None, fingerprint: str) -> NoReturn:
    if known is not None and known.fingerprint != fingerprint:
        raise IdempotencyKeyReused(f"This {HEADER} came with another request before; use a new one for each request.")
    if known is None or known.status_code is None:
        raise RequestInProgress("The first request with this key is under way.", retry_after=NEXT_TRY)
    try:
        answer = reveal(known.answer)
    except SecretError as error:
        raise Conflict("The first request was done, and its answer can't be decrypted any more.") from error
    response = Response(
        json.loads(answer) if answer else None, status=known.status_code, headers={**known.headers, REPLAYED: "true"}
    )
    raise AnsweredBefore(response)
