"""Claimed deliveries, made up for threads that never touch the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError

from tms_webhooks.choices import ErrorClass, Lane
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.candidates import Candidate
from tms_webhooks.delivery.outgoing import Parcel, Route, Taken
from tms_webhooks.delivery.rendering import Content, Line, contents_of, shape_of
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed, reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.validators import parse_headers

MOST_BYTES = 4
"""That a character takes in UTF-8."""


def pack(lines: Sequence[Taken], *, candidates: Mapping[int, Candidate], caps: Mapping[int, int]) -> list[Parcel]:
    """Make up what was taken, which is for some of these webhooks.

    That takes no query where all of them get an event for the first time and as it is stored, and otherwise one or two.
    """
    if not lines:
        return []
    wanted = {line.webhook_id for line in lines}
    routes = {pk: _route(candidates[pk], cap=caps.get(pk, 1)) for pk in wanted}
    parcels = [
        Parcel(
            pk,
            PUBLIC_PREFIX + uid.replace("-", ""),
            attempts + 1,
            charged,
            lane == Lane.BY_HAND,
            body.encode(),
            routes[webhook_id],
        )
        for pk, webhook_id, attempts, charged, lane, uid, body in lines
    ]
    contents = _contents(lines, routes)
    return [_with(parcel, contents.get(parcel.delivery_id)) for parcel in parcels] if contents else parcels


def _with(parcel: Parcel, content: Content | None) -> Parcel:
    return parcel if content is None else parcel._replace(**content._asdict())


def _contents(lines: Sequence[Taken], routes: Mapping[int, Route]) -> Mapping[int, Content]:
    """Return what to send where it is, or may be, something else than the event's own body."""
    plain = {pk for pk, route in routes.items() if route.shape.is_plain and not route.shape.has_tokens}
    short = app_settings.BODY_LIMIT // MOST_BYTES
    odd = [line for line in lines if line.attempts or line.webhook_id not in plain or len(line.body) > short]
    if not odd:
        return {}
    shapes = {pk: route.shape for pk, route in routes.items()}
    blocked = {pk for pk, route in routes.items() if route.problem is not None}
    odd_lines = [Line(line.delivery_id, line.webhook_id, line.attempts, line.body) for line in odd]
    return contents_of(odd_lines, shapes, blocked=blocked)


def _route(candidate: Candidate, *, cap: int) -> Route:
    webhook = candidate.webhook
    headers, secrets, problem = _private_parts(webhook, candidate.sealed)
    # Its content type goes with the body.
    others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return Route(
        webhook_id=webhook.pk,
        verb=webhook.verb,
        url=webhook.url,
        headers=others,
        secrets=secrets,
        timeout=float(webhook.timeout_seconds),
        schedule=webhook.schedule,
        max_retries=webhook.max_retries,
        cap=cap,
        problem=problem,
        shape=shape_of(webhook, headers),
    )


def _private_parts(
    webhook: Webhook, sealed: Sequence[Sealed]
) -> tuple[Mapping[str, str], Sequence[str], DeliveryError | None]:
    try:
        secrets = [value.reveal() for value in sealed]
        for secret in secrets:
            secret_key(secret)
        return parse_headers(reveal(webhook.headers), custom_body=True), secrets, None
    except SecretError as error:
        problem = str(error)
    except ValueError:
        problem = "a stored secret is not of the form whsec_…; rotate it"
    except ValidationError:
        # Never the error's own words: the lines hold passwords.
        problem = "the stored headers are not name=value lines; enter them anew"
    return {}, (), DeliveryError(problem, error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)
