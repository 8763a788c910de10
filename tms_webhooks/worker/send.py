"""From a claimed delivery to its HTTP request and back: makes outgoing requests, sends each, and judges the answer.

An attempt whose access token is unknown waits in its slot, and blocks no other webhook. The token is requested over the
same transport, under the same rules, within the webhook's timeout.

Observers watch an attempt from beginning to end, as tracing has to; for counting, the signal ``attempt_recorded`` is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tms_webhooks import __version__
from tms_webhooks.choices import ErrorClass, PayloadFormat, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import authentication, outcome, signing
from tms_webhooks.delivery.authentication import ClientCredentials, merged
from tms_webhooks.delivery.outgoing import ClaimedDelivery, OutgoingRequest, SendResult, endpoint_of
from tms_webhooks.digests import digested
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.models.public_ids import DELIVERY_PREFIX
from tms_webhooks.net.errors import as_delivery_error
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.transports.base import Answer, Request, Response, Transport
from tms_webhooks.payloads.envelope import is_test
from tms_webhooks.payloads.formats import binary_headers
from tms_webhooks.payloads.formats.shape import PLAIN
from tms_webhooks.worker.leases import WebhookRow

if TYPE_CHECKING:
    from tms_webhooks.net.transports.client import Client

USER_AGENT = f"tms-webhooks/{__version__}"
DELIVERY_HEADER = "tms-delivery-id"
ATTEMPT_HEADER = "tms-attempt"
TEST_HEADER = "tms-test"

# Bytes that a character takes in UTF-8, at most.
MAX_CHARACTER_BYTES = 4

logger = logging.getLogger(__name__)

# --- Endpoints and requests ---


def make_requests(claimed: Sequence[ClaimedDelivery], *, webhooks: Mapping[int, WebhookRow]) -> list[OutgoingRequest]:
    """Return the claimed deliveries of these webhooks as requests, without a query.

    `rendering.with_contents` completes the requests whose content is, or may be, another than the event's own body.
    """
    endpoints = {}
    for pk in {one.webhook_id for one in claimed}:
        row = webhooks[pk]
        # Made once: to decrypt takes as long as to send. Other settings may solve a problem.
        if not row.endpoint or row.endpoint.problem:
            row.endpoint = endpoint_of(row.webhook, row.sealed)
        endpoints[pk] = row.endpoint
    short = app_settings.BODY_LIMIT_BYTES // MAX_CHARACTER_BYTES
    requests = []
    for one in claimed:
        endpoint = endpoints[one.webhook_id]
        is_new = not one.attempts and one.quiet_period is None
        shape = endpoint.shape
        is_ready = is_new and (shape.format, shape.detail) == PLAIN and "{" not in shape.url and len(one.body) <= short
        # A resumed or replayed delivery is late by intent.
        expected_at = one.occurred_at if is_new and one.priority == Priority.LIVE else None
        requests.append(
            OutgoingRequest(
                one.delivery_id,
                one.webhook_id,
                PUBLIC_PREFIX + one.uid.replace("-", ""),
                one.attempts + 1,
                one.charged,
                one.priority == Priority.MANUAL,
                digested(one.body, shape.detail).encode() if is_ready else b"",
                endpoint,
                expected_at=expected_at and expected_at + timedelta(seconds=endpoint.webhook.delay_seconds),
                is_replay=one.priority == Priority.REPLAY,
                is_extra=one.resume_priority is not None,
                is_test=is_test(one.body),
                unrendered=None if is_ready else one.body,
                traceparent=one.traceparent,
            )
        )
    return requests


# --- Attempts ---


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


@contextmanager
def _logged() -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("An observer of an attempt failed.")


class Attempt(NamedTuple):
    """An attempt in flight: its request, when it began, its observers, and the access token that the request needs."""

    request: OutgoingRequest
    started_at: datetime
    observations: Sequence[Observation] = ()
    token: str = ""

    def signed(self) -> Request:
        """Return the signed HTTP request; raise `DeliveryError` if it can't be sent, whatever the receiver does."""
        request, endpoint = self.request, self.request.endpoint
        webhook, own = endpoint.webhook, endpoint.headers
        if problem := endpoint.problem or request.problem:
            raise problem
        if len(request.body) > app_settings.BODY_LIMIT_BYTES:
            raise DeliveryError(
                f"the body has {len(request.body)} bytes, more than BODY_LIMIT_BYTES",
                error_class=ErrorClass.BODY_TOO_LARGE,
                permanent=True,
            )
        if self.token:
            own = merged(authentication.bearer_header(self.token), own)
        for observation in self.observations:
            with _logged():
                own = merged(own, {name.lower(): value for name, value in observation.headers.items()})
        if endpoint.shape.format == PayloadFormat.CLOUDEVENTS_BINARY:
            own = merged(binary_headers(request.body.decode()), own)
        # The app's own come last: no other header can replace one of them.
        headers = {
            **own,
            "content-type": request.content_type,
            "user-agent": USER_AGENT,
            DELIVERY_HEADER: f"{DELIVERY_PREFIX}{request.event_id.removeprefix(PUBLIC_PREFIX)}{webhook.uid.hex}",
            ATTEMPT_HEADER: str(request.number),
            **({TEST_HEADER: "true"} if request.is_test else {}),
            **signatures(request, self.started_at),
        }
        url = webhook.url if request.url is None else request.url
        return Request(webhook.verb, url, headers, request.body, webhook.timeout_seconds)

    def end(self, answer: Response | DeliveryError, seconds: float, now: datetime) -> SendResult:
        """Return the result of the attempt, given the answer, the seconds that it took, and the time."""
        if isinstance(answer, DeliveryError):
            result = SendResult(
                self.request, self.started_at, seconds, outcome.of_error(answer), timing=answer.timing or Timing()
            )
        else:
            echoes = self.request.endpoint.echoes
            headers, body = outcome.response_texts(
                answer.status,
                answer.headers,
                answer.body.decode("utf-8", "replace"),
                echoes=(*echoes, *outcome.echoes_of([self.token])) if self.token else echoes,
                is_cut=answer.truncated,
            )
            result = SendResult(
                self.request,
                self.started_at,
                seconds,
                outcome.of_response(status=answer.status, headers=answer.headers, now=now),
                status=answer.status,
                headers=headers,
                body=body,
                timing=answer.timing,
            )
        for observation in self.observations:
            with _logged():
                observation.end(result)
        return result


def signatures(request: OutgoingRequest, now: datetime) -> dict[str, str]:
    """Return the headers that sign a request at ``now``: those of Standard Webhooks, and the body signature if there is one."""
    webhook, secrets, body = request.endpoint.webhook, request.endpoint.secrets, request.body
    headers = signing.signature_headers(
        secrets=secrets, message_id=request.event_id, timestamp=int(now.timestamp()), body=body
    )
    if webhook.body_signature_header:
        headers[webhook.body_signature_header] = signing.body_signature(
            secret=secrets[0], body=body, has_prefix=webhook.body_signature_prefix
        )
    return headers


# --- Sending, with access tokens ---


class KnownToken(NamedTuple):
    """A token, until when to use it, and the fingerprint of the credentials that it was issued for."""

    value: str
    expires_at: datetime
    fingerprint: str

    def __repr__(self) -> str:
        return f"<KnownToken until {self.expires_at}>"


tokens: dict[int, KnownToken] = {}
"""The last token of each webhook, until it has expired and another one is issued. The drains of this process share them."""


@dataclass(slots=True)
class TokenAttempt:
    """An attempt that needs a token, and when it has to be over. ``answer`` is the receiver's first 401."""

    attempt: Attempt
    client: ClientCredentials
    deadline_at: float
    answer: Answer | None = None

    @property
    def key(self) -> tuple[int, str]:
        """The webhook, and the fingerprint of its credentials. A token that was issued for others counts no longer."""
        return self.attempt.request.webhook_id, self.client.fingerprint

    def end(self, error: DeliveryError) -> Answer:
        """Return the answer of an attempt that ends without another one."""
        seconds = self.attempt.request.endpoint.webhook.timeout_seconds - (self.deadline_at - monotonic())
        return self.answer or Answer(self.attempt, error, seconds)


class Sender:
    """Sends the attempts of one worker. Used by one thread."""

    def __init__(self, transport: Transport, *, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock
        # The attempts that wait for a token, by its key. The list is the key of the exchange that requests the token.
        self._waiting: dict[tuple[int, str], list[TokenAttempt]] = {}
        # Answers that are still to be collected.
        self._ended: list[Answer] = []

    def start(self, request: OutgoingRequest) -> None:
        """Send a request, or let it wait for its token. Never raises: `collect` returns all errors."""
        observations = list[Observation]()
        attempt, client = Attempt(request, self._clock(), observations), request.endpoint.client_credentials
        for observe in observers:
            with _logged():
                observations.append(observe(request))
        try:
            signed = attempt.signed()
        except Exception as error:
            self._ended.append(Answer(attempt, as_delivery_error(error), 0.0))
            return
        if not client:
            self._transport.start(signed, attempt)
        else:
            self._send_or_wait(TokenAttempt(attempt, client, monotonic() + signed.deadline))

    def collect(self) -> Sequence[Answer]:
        """Return the answers of the attempts that have ended; the key of each is its `Attempt`."""
        for answer in self._transport.collect():
            one, result = answer.key, answer.result
            if isinstance(one, list):
                self._end_token_request(one, result)
                continue
            if isinstance(one, TokenAttempt):
                answer = answer._replace(key=one.attempt)
                if not one.answer and isinstance(result, Response) and result.status == HTTPStatus.UNAUTHORIZED:
                    # The receiver refused the token for the first time: the attempt is sent with a new one.
                    one.answer = answer
                    self._send_or_wait(one)
                    continue
            self._ended.append(answer)
        answers, self._ended = self._ended, []
        return answers

    def timeout(self) -> float:
        """Return the seconds after which `collect` has work to do in any case; infinity if it has none without an event."""
        return 0.0 if self._ended else self._transport.timeout()

    def _send_or_wait(self, one: TokenAttempt) -> None:
        """Send an attempt if its token is known and was not refused; otherwise let it wait for a new one."""
        key = one.key
        known = tokens.get(key[0])
        is_valid = known and known.fingerprint == key[1] and known.expires_at > self._clock()
        if known and is_valid and known.value != one.attempt.token:
            self._send(one, known.value)
        elif key in self._waiting:
            self._waiting[key].append(one)
        else:
            waiting = self._waiting[key] = [one]
            seconds = max(one.deadline_at - monotonic(), 0.0)
            request = authentication.token_request(one.client, user_agent=USER_AGENT, deadline=seconds)
            self._transport.start(request, waiting)

    def _send(self, one: TokenAttempt, token: str) -> None:
        """Send an attempt with this token, in the time that is left of its webhook's timeout."""
        one.attempt = one.attempt._replace(token=token)
        left = one.deadline_at - monotonic()
        if left > 0:
            self._transport.start(replace(one.attempt.signed(), deadline=left), one)
        else:
            late = "no access token within the timeout of the webhook"
            self._ended.append(one.end(DeliveryError(late, error_class=ErrorClass.TOKEN_ERROR)))

    def _end_token_request(self, waiting: Sequence[TokenAttempt], result: Response | DeliveryError) -> None:
        """Send the attempts that waited for a token with it, or fail them."""
        key, client = waiting[0].key, waiting[0].client
        del self._waiting[key]
        try:
            if isinstance(result, DeliveryError):
                raise result
            value, lifetime = authentication.token_of(result)
        except Exception as cause:
            error = authentication.failure(client, as_delivery_error(cause))
            self._ended += [one.end(error) for one in waiting]
            return
        now = self._clock()
        for webhook_id, known in [*tokens.items()]:
            # Those of deleted webhooks would stay for ever. Another drain of this process may have removed it.
            if known.expires_at <= now:
                tokens.pop(webhook_id, None)
        tokens[key[0]] = KnownToken(value, now + lifetime, key[1])
        for one in waiting:
            self._send(one, value)


def send(request: OutgoingRequest, *, clock: Callable[[], datetime], client: Client | None = None) -> SendResult:
    """Sign and send a request now, and wait for its answer. Never raises: the result's outcome says what went wrong.

    ``client`` is for tests; it is closed.
    """
    from tms_webhooks.net.transports.client import ThreadTransport

    transport = ThreadTransport(client)
    sender = Sender(transport, clock=clock)
    with closing(transport), DefaultSelector() as selector:
        selector.register(transport, EVENT_READ)
        sender.start(request)
        while not (answers := sender.collect()):
            selector.select(min(sender.timeout(), 1.0))
    ((attempt, answer, seconds),) = answers
    result: SendResult = attempt.end(answer, seconds, clock())
    return result
