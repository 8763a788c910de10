"""From a claimed delivery to its HTTP request and back: makes outgoing requests, sends each, and judges the answer.

`tms_webhooks.worker.sender` sends the requests. Observers watch an attempt from beginning to end, as tracing has to; for counting, the
signal ``attempt_recorded`` is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from django.core.exceptions import ValidationError

from tms_webhooks import __version__
from tms_webhooks.choices import AuthenticationKind, ErrorClass, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import outcome, signing
from tms_webhooks.delivery.authentication import client_credentials, fixed_headers, merged
from tms_webhooks.delivery.outgoing import ClaimedDelivery, Endpoint, OutgoingRequest, SendResult
from tms_webhooks.delivery.rendering import contents_of, shape_of
from tms_webhooks.exceptions import ConfigurationError, DeliveryError, SecretError, UnknownKey
from tms_webhooks.models import Webhook, WebhookSecret
from tms_webhooks.models.credentials import read_headers, secret_names
from tms_webhooks.models.encryption import MASK, Sealed, reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.transports.base import Request, Response
from tms_webhooks.net.urls import query_secrets
from tms_webhooks.payloads.envelope import is_test
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker.leases import WebhookRow

USER_AGENT = f"tms-webhooks/{__version__}"
DELIVERY_HEADER = "tms-delivery-id"
ATTEMPT_HEADER = "tms-attempt"
TEST_HEADER = "tms-test"

# How many secrets are decrypted to find out whether a key is missing.
EXAMINED_SECRETS = 100
# Bytes that a character takes in UTF-8, at most.
MAX_CHARACTER_BYTES = 4
NO_HEADERS: Mapping[str, str] = {}

logger = logging.getLogger(__name__)


class Observation(Protocol):
    """One attempt as an observer sees it. Made just before the attempt, in the thread that sends."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers to send along. Headers of the app or of the webhook take precedence."""
        ...

    def end(self, result: SendResult) -> None:
        """Receive the result of the attempt; called in the same thread, before the result is written."""
        ...


# Called with each request that is about to be sent. An exception from one of them is logged, and the request is sent.
observers: list[Callable[[OutgoingRequest], Observation]] = []


class Endpoints:
    """The endpoints of webhooks; each is made again when its webhook has changed. To decrypt takes as long as to send."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, Endpoint]] = {}

    def of(self, row: WebhookRow) -> Endpoint:
        """Return the endpoint of a webhook."""
        configuration = {name: value for name, value in vars(row.webhook).items() if name != "_state"}
        made_of = (configuration, tuple(row.sealed))
        known = self._known.get(row.webhook.pk)
        if known is not None and known[0] == made_of:
            return known[1]
        endpoint = _endpoint_of(row)
        # A problem may be solved by other settings.
        if endpoint.problem is None:
            self._known[row.webhook.pk] = (made_of, endpoint)
        return endpoint


def make_requests(
    claimed: Sequence[ClaimedDelivery], *, webhooks: Mapping[int, WebhookRow], known: Endpoints | None = None
) -> list[OutgoingRequest]:
    """Return the claimed deliveries of these webhooks as requests, without a query.

    `with_contents` completes those whose content is, or may be, another than the event's own body.
    """
    known = known or Endpoints()
    endpoints = {pk: known.of(webhooks[pk]) for pk in {one.webhook_id for one in claimed}}
    plain = {pk for pk, endpoint in endpoints.items() if endpoint.shape.is_plain and not endpoint.shape.has_tokens}
    short = app_settings.BODY_LIMIT_BYTES // MAX_CHARACTER_BYTES
    requests = []
    for one in claimed:
        is_new = not one.attempts and one.quiet_period is None
        is_ready = is_new and one.webhook_id in plain and len(one.body) <= short
        occurred_at = one.occurred_at if is_new and one.priority == Priority.LIVE else None
        delay = timedelta(seconds=webhooks[one.webhook_id].webhook.delay_seconds)
        requests.append(
            OutgoingRequest(
                one.delivery_id,
                PUBLIC_PREFIX + one.uid.replace("-", ""),
                one.attempts + 1,
                one.charged,
                one.priority == Priority.MANUAL,
                one.body.encode() if is_ready else b"",
                endpoints[one.webhook_id],
                expected_at=None if occurred_at is None else occurred_at + delay,
                is_replay=one.priority == Priority.REPLAY,
                is_extra=one.resume_priority is not None,
                is_test=is_test(one.body),
                unrendered=None if is_ready else one.body,
            )
        )
    return requests


def with_contents(requests: Iterable[OutgoingRequest], spent: TimeSpent) -> list[OutgoingRequest]:
    """Return the requests with their contents, without those of organizations that have used up their time of this turn.

    Takes one or two queries where a content is still to be rendered.
    """
    requests = list(requests)
    contents = contents_of([one for one in requests if one.unrendered is not None], spent)
    return [
        one if one.unrendered is None else one._replace(unrendered=None, **contents[one.delivery_id]._asdict())
        for one in requests
        if one.unrendered is None or one.delivery_id in contents
    ]


class Attempt(NamedTuple):
    """An attempt in flight: its request, when it began, and its observers."""

    request: OutgoingRequest
    started_at: datetime
    observations: Sequence[Observation]

    @classmethod
    def begin(cls, request: OutgoingRequest, now: datetime) -> Attempt:
        """Begin an attempt at ``now``."""
        observations = []
        for observe in observers:
            try:
                observations.append(observe(request))
            except Exception:
                logger.exception("An observer failed at the beginning of an attempt.")
        return cls(request, now, observations)

    def signed(self, authorization: Mapping[str, str] = NO_HEADERS) -> Request:
        """Return the signed HTTP request; raise `DeliveryError` if it can't be sent.

        ``authorization`` is the header with the access token, where the webhook's authentication needs one. It replaces a
        header of the webhook with its name.
        """
        request, endpoint = self.request, self.request.endpoint
        refuse_unsendable(request)
        own = merged(authorization, endpoint.headers) if authorization else endpoint.headers
        # The app's own come last: no other header can replace one of them.
        headers = {
            **_observation_headers(self.observations, taken=own),
            **own,
            "content-type": request.content_type,
            "user-agent": USER_AGENT,
            DELIVERY_HEADER: request.public_id,
            ATTEMPT_HEADER: str(request.number),
            **({TEST_HEADER: "true"} if request.is_test else {}),
            **signatures(request, self.started_at),
        }
        return Request(
            method=endpoint.verb,
            url=endpoint.url if request.url is None else request.url,
            headers=headers,
            body=request.body,
            deadline=endpoint.timeout,
        )

    def end(self, answer: Response | DeliveryError, seconds: float, now: datetime) -> SendResult:
        """Return the result of the attempt, given the answer, the seconds that it took, and the time."""
        if isinstance(answer, DeliveryError):
            result = SendResult(
                self.request, self.started_at, seconds, outcome.of_error(answer), timing=answer.timing or Timing()
            )
        else:
            shown = without_echoes(answer, self.request.endpoint.echoes)
            # The Location of a redirect precedes the body, since both are as private.
            location = outcome.redirect_location(shown.status, shown.headers)
            head = f"Location: {location}\n\n" if location else ""
            result = SendResult(
                self.request,
                self.started_at,
                answer.elapsed,
                outcome.of_response(status=answer.status, headers=answer.headers, now=now),
                status=answer.status,
                headers=outcome.headers_text(shown.headers, MASK),
                body=head + shown.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
                timing=answer.timing,
            )
        for observation in self.observations:
            try:
                observation.end(result)
            except Exception:
                logger.exception("An observer failed at the end of an attempt.")
        return result


def without_echoes(answer: Response, echoes: tuple[str, ...]) -> Response:
    """Return an answer with the mask in place of the secrets that the receiver sent back, for the log."""
    body = outcome.mask_echoes(answer.body.decode("utf-8", "replace"), echoes, MASK, is_cut=answer.truncated)
    headers = {name: outcome.mask_echoes(value, echoes, MASK) for name, value in answer.headers.items()}
    return replace(answer, headers=headers, body=body.encode())


def unexpected(error: Exception) -> DeliveryError:
    """Return the error of an attempt that no rule foresees. It names the class alone: the message may hold anything."""
    return DeliveryError(f"unexpected {type(error).__name__}", error_class=ErrorClass.OTHER)


def refuse_unsendable(request: OutgoingRequest) -> None:
    """Raise `DeliveryError` if a request can't be sent, whatever the receiver does."""
    problem = request.endpoint.problem or request.problem
    if problem is not None:
        raise problem
    if len(request.body) > app_settings.BODY_LIMIT_BYTES:
        raise DeliveryError(
            f"the body has {len(request.body)} bytes, more than BODY_LIMIT_BYTES",
            error_class=ErrorClass.BODY_TOO_LARGE,
            permanent=True,
        )


def signatures(request: OutgoingRequest, now: datetime) -> dict[str, str]:
    """Return the headers that sign a request at ``now``: those of Standard Webhooks, and the body signature if there is one."""
    endpoint = request.endpoint
    headers = signing.signature_headers(
        secrets=endpoint.secrets, message_id=request.event_id, timestamp=int(now.timestamp()), body=request.body
    )
    if endpoint.body_signature_header:
        headers[endpoint.body_signature_header] = signing.body_signature(
            secret=endpoint.secrets[0], body=request.body, has_prefix=endpoint.body_signature_prefix
        )
    return headers


def _endpoint_of(row: WebhookRow) -> Endpoint:
    webhook = row.webhook
    headers, secrets, credentials, problem = _private_parts(webhook, row.sealed)
    # The content type goes with the body.
    others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    kind = webhook.authentication if problem is None else AuthenticationKind.NONE
    sent = merged(fixed_headers(kind, credentials), others)
    # The secrets that an answer may repeat. A header such as Accept is none.
    private = [value for name, value in sent.items() if not name.lower().startswith("accept")]
    own = [credentials.get(name, "") for name in secret_names(webhook.authentication)]
    signing_keys = [secret.removeprefix(signing.SECRET_PREFIX) for secret in secrets]
    return Endpoint(
        webhook_id=webhook.pk,
        verb=webhook.verb,
        url=webhook.url,
        headers=sent,
        secrets=secrets,
        timeout=float(webhook.timeout_seconds),
        schedule=webhook.schedule,
        max_retries=webhook.max_retries,
        organization_id=webhook.organization_id,
        ordered=webhook.ordered,
        problem=problem,
        shape=shape_of(webhook, headers),
        webhook_uid=webhook.uid.hex,
        client_credentials=client_credentials(kind, credentials),
        body_signature_header=webhook.body_signature_header,
        body_signature_prefix=webhook.body_signature_prefix,
        echoes=outcome.echoes_of([*private, *own, *signing_keys, *query_secrets(webhook.url)]),
    )


def _private_parts(
    webhook: Webhook, sealed: Sequence[Sealed]
) -> tuple[Mapping[str, str], Sequence[str], Mapping[str, str], DeliveryError | None]:
    """Return the webhook's decrypted headers, secrets and credentials, and the problem if they can't be read."""
    try:
        secrets = [value.reveal() for value in sealed]
        for secret in secrets:
            signing.secret_key(secret)
        headers = read_headers(webhook.headers)
        return headers, secrets, webhook.read_credentials(), None
    except ConfigurationError as error:
        return {}, (), {}, DeliveryError(str(error), error_class=ErrorClass.KEYS_MISSING)
    except UnknownKey as error:
        if _is_key_missing():
            return {}, (), {}, DeliveryError(str(error), error_class=ErrorClass.KEYS_MISSING)
        problem = str(error)
    except SecretError as error:
        problem = str(error)
    except ValueError:
        problem = "a stored secret is not of the form whsec_…; rotate it"
    except ValidationError:
        # Never the error's own words: the lines hold passwords.
        problem = "the stored headers are not name=value lines, or the credentials can't be read; enter them again"
    return {}, (), {}, DeliveryError(problem, error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)


def _is_key_missing() -> bool:
    """Return whether the keys are to blame for a secret that can't be decrypted, and not its own row.

    They are if they decrypt no secret of all that are examined, or fail for more than one webhook.
    """
    # The oldest: they are the last to be encrypted with a new key.
    rows = WebhookSecret.objects.filter(expires_at=None, webhook__deleted_at=None).order_by("pk")
    lost, readable = set(), 0
    for secret in rows.only("webhook_id", "value")[:EXAMINED_SECRETS]:
        try:
            reveal(secret.value)
            readable += 1
        except UnknownKey:
            lost.add(secret.webhook_id)
        except SecretError:
            continue
    return not readable or len(lost) > 1


def _observation_headers(observations: Sequence[Observation], *, taken: Iterable[str]) -> dict[str, str]:
    """Return the observers' headers, without the names that are ``taken``, in any case."""
    headers: dict[str, str] = {}
    if not observations:
        return headers
    for observation in observations:
        try:
            headers |= {name.lower(): value for name, value in observation.headers.items()}
        except Exception:
            logger.exception("An observer's headers can't be read.")
    for name in taken:
        headers.pop(name.lower(), None)
    return headers
