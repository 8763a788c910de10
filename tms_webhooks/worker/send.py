"""Who watches attempts from their beginning to their end, as tracing has to. Without any, this costs nothing.

What came of an attempt and was written down is told by the signal ``attempt_recorded``; that is enough for counting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from django.core.exceptions import ValidationError

from tms_webhooks import __version__
from tms_webhooks.choices import ErrorClass, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import outcome, signing
from tms_webhooks.delivery.outgoing import ClaimedDelivery, Endpoint, OutgoingRequest, SendResult
from tms_webhooks.delivery.rendering import Content, RenderInput, contents_of, shape_of
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed, reveal
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.net.client import Client, Request
from tms_webhooks.net.timing import Timing
from tms_webhooks.validators import parse_headers
from tms_webhooks.worker.claim_queries import Candidate

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import SendResult

logger = logging.getLogger(__name__)


class Observation(Protocol):
    """One attempt, watched. Made just before it, in the thread that makes it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send along. A header of the app's own, or one that the webhook sets itself, takes its place."""
        ...

    def end(self, result: SendResult) -> None:
        """Learn what came of it; called in the same thread, before it is written down."""
        ...


observers: list[Callable[[OutgoingRequest], Observation]] = []
"""Called with each outgoing that is about to be sent. What one of them raises is logged, and the outgoing is sent."""


def begin_observations(outgoing: OutgoingRequest) -> list[Observation]:
    """Let everybody who watches know that an attempt begins."""
    watching = []
    for observe in observers:
        try:
            watching.append(observe(outgoing))
        except Exception:
            logger.exception("An observer failed at the beginning of an attempt.")
    return watching


def observation_headers(watching: Sequence[Observation], *, taken: Iterable[str]) -> dict[str, str]:
    """Return what is to be sent along, but for the names that are ``taken``, in whatever case."""
    headers: dict[str, str] = {}
    if not watching:
        return headers
    for observation in watching:
        try:
            headers |= {name.lower(): value for name, value in observation.headers.items()}
        except Exception:
            logger.exception("An observer's headers can't be read.")
    for name in taken:
        headers.pop(name.lower(), None)
    return headers


def end_observations(watching: Iterable[Observation], result: SendResult) -> None:
    """Let everybody who watches know what came of the attempt."""
    for observation in watching:
        try:
            observation.end(result)
        except Exception:
            logger.exception("An observer failed at the end of an attempt.")


MOST_BYTES = 4
"""That a character takes in UTF-8."""


def make_requests(
    lines: Sequence[ClaimedDelivery], *, candidates: Mapping[int, Candidate], caps: Mapping[int, int]
) -> list[OutgoingRequest]:
    """Make up what was taken, which is for some of these webhooks.

    That takes no query where all of them get an event for the first time and as it is stored, and otherwise one or two.
    """
    if not lines:
        return []
    wanted = {line.webhook_id for line in lines}
    routes = {pk: _endpoint_of(candidates[pk], cap=caps.get(pk, 1)) for pk in wanted}
    delays = {pk: timedelta(seconds=candidates[pk].webhook.delay_seconds) for pk in wanted}
    outgoing_requests = [
        OutgoingRequest(
            pk,
            PUBLIC_PREFIX + uid.replace("-", ""),
            attempts + 1,
            charged,
            priority == Priority.MANUAL,
            body.encode(),
            routes[webhook_id],
            expected_at=None
            if occurred_at is None or attempts or priority != Priority.LIVE
            else occurred_at + delays[webhook_id],
        )
        for pk, webhook_id, attempts, charged, priority, uid, body, occurred_at in lines
    ]
    contents = _contents(lines, routes)
    return (
        [_with_content(outgoing, contents.get(outgoing.delivery_id)) for outgoing in outgoing_requests]
        if contents
        else outgoing_requests
    )


def _with_content(outgoing: OutgoingRequest, content: Content | None) -> OutgoingRequest:
    return outgoing if content is None else outgoing._replace(**content._asdict())


def _contents(lines: Sequence[ClaimedDelivery], routes: Mapping[int, Endpoint]) -> Mapping[int, Content]:
    """Return what to send where it is, or may be, something else than the event's own body."""
    plain = {pk for pk, route in routes.items() if route.shape.is_plain and not route.shape.has_tokens}
    short = app_settings.BODY_LIMIT // MOST_BYTES
    odd = [line for line in lines if line.attempts or line.webhook_id not in plain or len(line.body) > short]
    if not odd:
        return {}
    shapes = {pk: route.shape for pk, route in routes.items()}
    blocked = {pk for pk, route in routes.items() if route.problem is not None}
    odd_lines = [RenderInput(line.delivery_id, line.webhook_id, line.attempts, line.body) for line in odd]
    return contents_of(odd_lines, shapes, blocked=blocked)


def _endpoint_of(candidate: Candidate, *, cap: int) -> Endpoint:
    webhook = candidate.webhook
    headers, secrets, problem = _private_parts(webhook, candidate.sealed)
    # Its content type goes with the body.
    others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return Endpoint(
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


USER_AGENT = f"tms-webhooks/{__version__}"
DELIVERY_HEADER = "tms-delivery-id"
ATTEMPT_HEADER = "tms-attempt"


def send(outgoing: OutgoingRequest, *, client: Client, clock: Callable[[], datetime]) -> SendResult:
    """Sign and send a outgoing now. Never raises: whatever goes wrong is in the result's outcome."""
    watching = begin_observations(outgoing)
    result = _send(outgoing, watching, client=client, clock=clock)
    end_observations(watching, result)
    return result


def _send(
    outgoing: OutgoingRequest, watching: Sequence[Observation], *, client: Client, clock: Callable[[], datetime]
) -> SendResult:
    started_at, start = clock(), monotonic()
    try:
        response = client.send(request_of(outgoing, started_at, watching))
    except DeliveryError as error:
        return SendResult(
            outgoing, started_at, monotonic() - start, outcome.of_error(error), timing=error.timing or Timing()
        )
    except Exception as error:
        # The class alone: what the message holds nobody knows.
        unknown = DeliveryError(f"unexpected {type(error).__name__}", error_class=ErrorClass.OTHER)
        return SendResult(outgoing, started_at, monotonic() - start, outcome.of_error(unknown))
    return SendResult(
        outgoing,
        started_at,
        response.elapsed,
        outcome.of_response(status=response.status, headers=response.headers, now=clock()),
        status=response.status,
        body=response.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
        timing=response.timing,
    )


def request_of(outgoing: OutgoingRequest, now: datetime, watching: Sequence[Observation] = ()) -> Request:
    """Sign a outgoing for an attempt at ``now``; raise `DeliveryError` where it can't be sent."""
    route = outgoing.route
    problem = route.problem or outgoing.problem
    if problem is not None:
        raise problem
    if len(outgoing.body) > app_settings.BODY_LIMIT:
        raise DeliveryError(
            f"the body has {len(outgoing.body)} bytes, more than BODY_LIMIT",
            error_class=ErrorClass.BODY_TOO_LARGE,
            permanent=True,
        )
    signed = signing.signature_headers(
        secrets=route.secrets, message_id=outgoing.event_id, timestamp=int(now.timestamp()), body=outgoing.body
    )
    # Ours last: nobody else's header can take the place of one of them.
    headers = {
        **observation_headers(watching, taken=route.headers),
        **route.headers,
        "content-type": outgoing.content_type,
        "user-agent": USER_AGENT,
        DELIVERY_HEADER: str(outgoing.delivery_id),
        ATTEMPT_HEADER: str(outgoing.number),
        **signed,
    }
    return Request(
        method=route.verb,
        url=route.url if outgoing.url is None else outgoing.url,
        headers=headers,
        body=outgoing.body,
        deadline=route.timeout or app_settings.DEADLINE,
    )
