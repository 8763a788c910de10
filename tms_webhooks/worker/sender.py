"""Send attempts over a transport, with an access token where the webhook's authentication needs one.

An attempt whose token is unknown waits in its slot, and blocks no other webhook. The token is requested over the same
transport, under the same rules, within the webhook's timeout, and stored for the next worker
(`tms_webhooks.models.access_token`). The steps with the database are in `authorize`, and never wait for the network.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import DatabaseError

from tms_webhooks.choices import ErrorClass
from tms_webhooks.delivery.authentication import (
    ClientCredentials,
    bearer_header,
    failure,
    seconds_to_wait,
    token_of,
    token_request,
)
from tms_webhooks.delivery.outcome import echoes_of
from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.models import AccessToken
from tms_webhooks.models.access_token import LONGEST_ERROR, KnownToken
from tms_webhooks.net import errors
from tms_webhooks.net.transports.base import Answer, BlockingTransport, Response, Transport
from tms_webhooks.worker.results import PASSING, schedule_of
from tms_webhooks.worker.send import USER_AGENT, Attempt, refuse_unsendable, unexpected, without_echoes

if TYPE_CHECKING:
    from tms_webhooks.net.transports.client import Client

logger = logging.getLogger(__name__)

TokenKey = tuple[int, str]
"""A webhook, and the fingerprint of its credentials."""


class TokenAttempt:
    """An attempt that needs a token: when it has to be over, the token it was sent with, and the one that was refused.

    ``answer`` is the receiver's first 401.
    """

    __slots__ = ("answer", "attempt", "client", "deadline_at", "key", "refused", "started_at", "token")

    def __init__(self, attempt: Attempt, client: ClientCredentials, timeout: float) -> None:
        self.attempt = attempt
        self.client = client
        self.key: TokenKey = (attempt.request.webhook_id, client.fingerprint)
        self.started_at = monotonic()
        self.deadline_at = self.started_at + timeout
        self.token: KnownToken | None = None
        self.refused = ""
        self.answer: Answer | None = None

    def end(self, error: DeliveryError) -> Answer:
        """Return the answer of an attempt that ends with an error."""
        return Answer(self.attempt, error, monotonic() - self.started_at)


class TokenRequest(NamedTuple):
    """The request for a token, as the mark of its exchange."""

    key: TokenKey
    client: ClientCredentials
    failures: int
    schedule: tuple[float, ...]


class Sender:
    """Sends the attempts of one worker. Used by one thread."""

    def __init__(self, transport: Transport, *, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock
        self._known: dict[TokenKey, KnownToken] = {}
        # Attempts that wait for a token, and the tokens that are requested.
        self._waiting: dict[TokenKey, list[TokenAttempt]] = {}
        self._requested: set[TokenKey] = set()
        # Changes of rows that are still to be written, each with its webhook as first argument, and answers that are still to be collected.
        self._changes: list[partial[None]] = []
        self._ended: list[Answer] = []

    def start(self, attempt: Attempt) -> None:
        """Send an attempt, or let it wait for its token. Raise `DeliveryError` if it can't be sent at all."""
        client = attempt.request.endpoint.client_credentials
        if client is None:
            self._transport.start(attempt.signed(), attempt)
            return
        refuse_unsendable(attempt.request)
        self._send_or_wait(TokenAttempt(attempt, client, attempt.request.endpoint.timeout))

    def collect(self) -> Sequence[Answer]:
        """Return the answers of the attempts that have ended; the key of each is its `Attempt`."""
        answers: list[Answer] = []
        for answer in self._transport.collect():
            if isinstance(answer.key, TokenRequest):
                self._end_token_request(answer.key, answer.result)
            elif isinstance(answer.key, TokenAttempt):
                answers += self._end_exchange(answer.key, answer)
            else:
                answers.append(answer)
        now = monotonic()
        for key, waiting in list(self._waiting.items()):
            # Their time is over; one that the receiver refused ends with that answer.
            late = [one for one in waiting if one.deadline_at <= now]
            self._ended += [one.answer or one.end(_late()) for one in late]
            self._keep_waiting(key, [one for one in waiting if one.deadline_at > now])
        answers += self._ended
        self._ended = []
        return answers

    def timeout(self) -> float | None:
        """Return the seconds after which `collect` has work to do in any case; None if it has none without an event."""
        if self._ended:
            return 0.0
        in_transport = self._transport.timeout()
        if not self._waiting:
            return in_transport
        first = min(one.deadline_at for waiting in self._waiting.values() for one in waiting)
        left = max(0.0, first - monotonic())
        return left if in_transport is None else min(in_transport, left)

    @property
    def authorize_at(self) -> float:
        """When `authorize` has work to do, on the monotonic clock; infinity if it has none."""
        return -math.inf if self._changes or self._waiting.keys() - self._requested else math.inf

    def authorize(self) -> None:
        """Write the changes of rows, and look for the tokens that attempts wait for.

        Raises ``OperationalError`` or ``InterfaceError`` where a repetition can help. Any other error of a token ends the
        attempts that wait for it.
        """
        self.write_changes()
        for key in self._waiting.keys() - self._requested:
            try:
                self._look_up(key)
            except PASSING:
                raise
            except Exception as error:
                # Without a traceback: its frames hold the token.
                logger.error("webhook=%s: its access token can't be looked up (%s).", key[0], type(error).__name__)
                self._ended += [one.answer or one.end(unexpected(error)) for one in self._waiting.pop(key)]

    def write_changes(self) -> None:
        """Write the changes of rows that are still to be written; drop one that the database refuses permanently.

        Raises ``OperationalError`` or ``InterfaceError`` where a repetition can help.
        """
        while self._changes:
            change = self._changes[0]
            try:
                change()
            except PASSING:
                raise
            except DatabaseError as error:
                # Without a traceback: its frames hold the token.
                logger.error(
                    "webhook=%s: the database refused a change of its access token (%s).",
                    change.args[0],
                    type(error).__name__,
                )
            del self._changes[0]

    # --- Attempts ---

    def _send_or_wait(self, one: TokenAttempt) -> None:
        known = self._known.get(one.key)
        if known is not None and known.value != one.refused and known.expires_at > self._clock():
            self._send(one, known)
        else:
            self._waiting.setdefault(one.key, []).append(one)

    def _send(self, one: TokenAttempt, token: KnownToken) -> None:
        """Send an attempt with this token, in the time that is left of its webhook's timeout."""
        left = one.deadline_at - monotonic()
        if left <= 0:
            self._ended.append(one.answer or one.end(_late()))
            return
        one.token = token
        try:
            request = one.attempt.signed(bearer_header(token.value))
            self._transport.start(replace(request, deadline=min(left, request.deadline)), one)
        except Exception as error:
            self._ended.append(one.end(errors.as_delivery_error(error)))

    def _end_exchange(self, one: TokenAttempt, answer: Answer) -> Sequence[Answer]:
        """Return the answer to an attempt; none if the receiver refused the token for the first time."""
        token, own = one.token, answer._replace(key=one.attempt)
        if token is None or not isinstance(answer.result, Response):
            return (own,)
        own = own._replace(result=without_echoes(answer.result, echoes_of([token.value])))
        if answer.result.status != HTTPStatus.UNAUTHORIZED:
            if token.failures:
                self._change(one.key, failures=0, retry_at=None)
                self._remember(one.key, token._replace(failures=0))
            return (own,)
        if one.answer is None:
            one.refused, one.answer = token.value, own
            self._send_or_wait(one)
            return ()
        wait = seconds_to_wait(token.failures + 1, schedule_of(one.attempt.request))
        self._change(one.key, failures=token.failures + 1, retry_at=self._clock() + timedelta(seconds=wait))
        return (own,)

    def _keep_waiting(self, key: TokenKey, attempts: list[TokenAttempt]) -> None:
        if attempts:
            self._waiting[key] = attempts
        else:
            self._waiting.pop(key, None)

    # --- Tokens ---

    def _change(self, key: TokenKey, **values: Any) -> None:
        """Have values of the row of a token written."""
        self._changes.append(partial(AccessToken.objects.write, *key, **values))

    def _remember(self, key: TokenKey, token: KnownToken) -> None:
        """Keep a token in memory; those of earlier credentials of the webhook go."""
        for other in [other for other in self._known if other[0] == key[0]]:
            del self._known[other]
        self._known[key] = token

    def _look_up(self, key: TokenKey) -> None:
        """Read the row of a token: send the attempts that can use it, fail those that can't, or request a new token."""
        now = self._clock()
        row = AccessToken.objects.of(*key)
        known = row.known(now)
        waiting = self._waiting[key]
        if known is not None:
            self._remember(key, known)
            usable = [one for one in waiting if one.refused != known.value]
            waiting = [one for one in waiting if one.refused == known.value]
            for one in usable:
                self._send(one, known)
        if waiting and row.retry_at is not None and row.retry_at > now:
            waiting = self._fail_until_retry(waiting, row.last_error())
        self._keep_waiting(key, waiting)
        if waiting:
            self._requested.add(key)
            seconds = max(one.deadline_at for one in waiting) - monotonic()
            client, schedule = waiting[0].client, schedule_of(waiting[0].attempt.request)
            request = token_request(client, user_agent=USER_AGENT, deadline=max(seconds, 0.0))
            self._transport.start(request, TokenRequest(key, client, row.failures, schedule))

    def _fail_until_retry(self, waiting: Iterable[TokenAttempt], error: DeliveryError | None) -> list[TokenAttempt]:
        """End the attempts for which no token is requested yet after a failure; return the others."""
        left = []
        for one in waiting:
            if one.attempt.request.is_manual:
                left.append(one)
            elif one.answer is not None:
                self._ended.append(one.answer)
            elif error is None:
                left.append(one)
            else:
                text = f"{error} (not requested again yet)"
                self._ended.append(one.end(DeliveryError(text, error_class=error.error_class)))
        return left

    def _end_token_request(self, mark: TokenRequest, result: Response | DeliveryError) -> None:
        """Send the waiting attempts with the new token, or fail them."""
        self._requested.discard(mark.key)
        waiting = self._waiting.get(mark.key, [])
        self._keep_waiting(mark.key, [])
        try:
            if isinstance(result, DeliveryError):
                raise result
            value, lifetime = token_of(result)
        except Exception as error:
            cause = error if isinstance(error, DeliveryError) else unexpected(error)
            self._fail_token_request(mark, failure(mark.client, cause), waiting)
            return
        token = KnownToken(value, self._clock() + lifetime, mark.failures)
        self._remember(mark.key, token)
        self._change(mark.key, value=value, expires_at=token.expires_at, error="", error_class="")
        for one in waiting:
            self._send(one, token)

    def _fail_token_request(self, mark: TokenRequest, error: DeliveryError, waiting: Iterable[TokenAttempt]) -> None:
        # An address that is refused gets no request, and the next lookup may find another one.
        wait = 0.0 if error.permanent else seconds_to_wait(mark.failures + 1, mark.schedule)
        self._change(
            mark.key,
            failures=mark.failures + 1,
            retry_at=self._clock() + timedelta(seconds=wait),
            error=str(error)[:LONGEST_ERROR],
            error_class=error.error_class,
        )
        self._ended += [one.end(error) for one in waiting]


def send(request: OutgoingRequest, *, client: Client, clock: Callable[[], datetime]) -> SendResult:
    """Sign and send a request now, and wait for its answer. Never raises: the result's outcome says what went wrong."""
    attempt, begun_at = Attempt.begin(request, clock()), monotonic()
    sender = Sender(BlockingTransport(client.send), clock=clock)
    try:
        sender.start(attempt)
        answers = sender.collect()
        while not answers:
            sender.authorize()
            answers = sender.collect()
        sender.write_changes()
        answer: Response | DeliveryError = answers[0].result
    except DeliveryError as error:
        answer = error
    except Exception as error:
        answer = unexpected(error)
    return attempt.end(answer, monotonic() - begun_at, clock())


def _late() -> DeliveryError:
    return DeliveryError("no access token within the timeout of the webhook", error_class=ErrorClass.TOKEN_ERROR)
