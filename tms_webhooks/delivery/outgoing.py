"""The values that pass from the claim to the transport and back: claimed delivery, request, result, and a webhook's endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.core.exceptions import ValidationError

from tms_webhooks import __version__
from tms_webhooks.choices import AuthenticationKind, ErrorClass, PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import authentication, outcome, signing
from tms_webhooks.delivery.authentication import ClientCredentials
from tms_webhooks.delivery.outcome import Outcome
from tms_webhooks.exceptions import ConfigurationError, DeliveryError, SecretError, UnknownKey
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import AUTHORIZATION, read_headers, secret_names
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.reencryption import is_key_missing
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.urls import query_secrets
from tms_webhooks.payloads.formats import JSON, RequestFormat
from tms_webhooks.payloads.formats.shape import PLAIN


class ClaimedDelivery(NamedTuple):
    """A delivery that a worker is to send: its row, and the id, body and time of its event.

    ``attempts`` are all attempts so far, ``charged`` those that count against the retries. ``quiet_period`` is set for
    one that waited for a quiet period, whose body may be another than the event's. ``resume_priority`` is set for an extra
    attempt.
    """

    delivery_id: int
    webhook_id: int
    attempts: int
    charged: int
    priority: int
    uid: str
    traceparent: str | None
    body: str
    quiet_period: int | None = None
    resume_priority: int | None = None
    occurred_at: datetime | None = None
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """A webhook as it was read, and what all its requests share: its secrets in clear, for one. ``repr`` shows none.

    With a ``problem`` nothing can be sent; secrets and headers are empty then.
    """

    webhook: Webhook
    headers: Mapping[str, str]
    secrets: Sequence[str]
    problem: DeliveryError | None = None
    shape: RequestFormat = RequestFormat()
    client_credentials: ClientCredentials | None = None
    """The client whose access token each request needs; ``headers`` have any other authentication."""
    echoes: tuple[str, ...] = ()
    """The forms of its secrets that are masked in an answer (`outcome.echoes_of`)."""
    outline: str = ""
    """What each attempt keeps of its request, without values of secrets and of events.

    The lines are the method, the URL with its tokens, the version of the app and the number of signatures. The names of the
    masked headers follow, and the format and the detail unless they are plain.
    """

    def __repr__(self) -> str:
        return f"<Endpoint of webhook {self.webhook.pk}>"


class OutgoingRequest(NamedTuple):
    """One delivery, ready to send.

    Attributes:
        number: The number of this attempt, from 1.
        charged: The attempts so far that count against the retries.
        is_manual: A user sent it: it does not affect the webhook's health, and is not retried unless it is extra.
        is_extra: A user had a waiting delivery tried now: the attempt uses up no retry, and the retries follow it.
        url: Replaces the URL of the endpoint.
        problem: Why this delivery can't be sent.
        expected_at: For a first attempt: the time of the event plus the webhook's delay. None for a retry, a replay, a
            manual request and one that waited for a quiet period.
        is_replay: A quarter of the requests to its webhook are such while others wait, and all of them otherwise.
        is_test: Its event has the mark of a test, and so does the request.
        unrendered: The body of the event, while body and URL of the request are still to be rendered.
        traceparent: The span in which its event was recorded.
    """

    delivery_id: int
    webhook_id: int
    event_id: str
    number: int
    charged: int
    is_manual: bool
    body: bytes
    endpoint: Endpoint
    content_type: str = JSON
    url: str | None = None
    problem: DeliveryError | None = None
    expected_at: datetime | None = None
    is_replay: bool = False
    is_extra: bool = False
    is_test: bool = False
    unrendered: str | None = None
    traceparent: str | None = None

    @property
    def is_resent(self) -> bool:
        """Whether it is a finished delivery that a user sends once more: no retry follows."""
        return self.is_manual and not self.is_extra

    def __repr__(self) -> str:
        return (
            f"<OutgoingRequest {self.event_id} delivery {self.delivery_id} webhook {self.webhook_id} "
            f"attempt {self.number}>"
        )


class SendResult(NamedTuple):
    """The result of one attempt to send a request. ``headers`` and ``body`` are the receiver's answer, as text."""

    request: OutgoingRequest
    started_at: datetime
    seconds: float
    outcome: Outcome
    status: int | None = None
    headers: str = ""
    body: str = ""
    timing: Timing = Timing()

    def without_answer(self) -> SendResult:
        """Return the result without the receiver's answer."""
        return self._replace(headers="", body="")

    def without_texts(self) -> SendResult:
        """Return the result without the receiver's own texts, for a database that can't store them."""
        outcome = self.outcome._replace(message="not kept: the database refused it")
        return self.without_answer()._replace(outcome=outcome)


# --- From a webhook to its endpoint ---


def endpoint_of(webhook: Webhook, sealed: Iterable[Sealed] = ()) -> Endpoint:
    """Return the endpoint of a webhook with these signing secrets, the newest first; with a problem if they can't be read."""
    kind, problem, client = webhook.authentication, None, None
    try:
        secrets = [value.reveal() for value in sealed]
        for secret in secrets:
            signing.secret_key(secret)
        headers = read_headers(webhook.headers) if webhook.headers else {}
        credentials = webhook.read_credentials() if kind != AuthenticationKind.NONE else {}
    except (ConfigurationError, SecretError, ValueError, ValidationError) as error:
        headers, secrets, credentials, problem = {}, [], {}, _unreadable(error)
    # The content type goes with the body.
    sent = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    # The secrets that an answer may repeat.
    private = [secret.removeprefix(signing.SECRET_PREFIX) for secret in secrets]
    if kind != AuthenticationKind.NONE and not problem:
        client = authentication.client_credentials(credentials) if kind == AuthenticationKind.OAUTH2 else None
        sent = authentication.merged(authentication.fixed_headers(kind, credentials), sent)
        private += [credentials.get(name, "") for name in secret_names(kind)]
    url = webhook.url
    if "?" in url:
        private += query_secrets(url)
        url = webhook.masked_url
    # A header such as Accept is none.
    private += [value for name, value in sent.items() if not name.lower().startswith("accept")]
    shape = shape_of(webhook, headers)
    names = " ".join([*sent, AUTHORIZATION if client else "", webhook.body_signature_header])
    outline = [webhook.verb, url, __version__, str(len(secrets)), names]
    if (shape.format, shape.detail) != PLAIN:
        outline += [shape.format, shape.detail]
    return Endpoint(
        webhook,
        sent,
        secrets,
        problem,
        shape,
        client,
        outcome.echoes_of(private),
        "\n".join(outline),
    )


def _unreadable(error: Exception) -> DeliveryError:
    """Return why nothing can be sent to a webhook whose secrets raise this error. It is retried if a key is missing."""
    if isinstance(error, ConfigurationError) or (isinstance(error, UnknownKey) and is_key_missing()):
        return DeliveryError(str(error), error_class=ErrorClass.KEYS_MISSING)
    if isinstance(error, SecretError):
        problem = str(error)
    elif isinstance(error, ValidationError):
        # Never the error's own words: the lines hold passwords.
        problem = "the stored headers are not name=value lines, or the credentials can't be read; enter them again"
    else:
        problem = "a stored secret is not of the form whsec_…; rotate it"
    return DeliveryError(problem, error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)


def shape_of(webhook: Webhook, headers: Mapping[str, str]) -> RequestFormat:
    """Return the request format of a webhook that has these headers."""
    named = [value for name, value in headers.items() if name.lower() == "content-type"]
    is_custom = webhook.format == PayloadFormat.CUSTOM
    return RequestFormat(
        format=webhook.format,
        detail=webhook.payload,
        url=webhook.url,
        content=webhook.content if is_custom else "",
        contents=webhook.contents if is_custom else {},
        content_type=named[0] if named and is_custom else "",
        api_url=app_settings.API_URL,
    )
