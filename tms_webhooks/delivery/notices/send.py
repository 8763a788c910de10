"""Send the messages that wait: mails by Django's mail backend, messages to Slack and Teams by the app's own HTTP client.

A process claims a message, sends it, and writes how it went. A message that fails is sent again after RETRY_SECONDS, and
given up after the last of them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import router
from django.template.loader import render_to_string
from django.utils import translation

from tms_webhooks.choices import NoticeChannel
from tms_webhooks.delivery.notices.text import Digest, digest_of, not_shown
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Notification, NotificationAddresses
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.notification import NotificationQuerySet
from tms_webhooks.net.transports import new_client
from tms_webhooks.net.transports.base import Request
from tms_webhooks.payloads.formats.presets import MOST_FACTS, Fact, chat_message

RETRY_SECONDS = (60, 300, 1_800, 7_200)
"""Seconds from a failed attempt to the next one."""
CHAT_DEADLINE = 10.0
CHATS_PER_RUN = timedelta(seconds=30)
"""Time after which a run begins no further message to a chat, so that slow chats hold back no mails of the next run."""
# A mail's text and HTML, in this order.
TEMPLATES = ("tms_webhooks/mail/notice.txt", "tms_webhooks/mail/notice.html")
# Answers after which a chat may accept the same message later.
PASSING_STATUSES = frozenset({408, 425, 429})

logger = logging.getLogger(__name__)


class NotSentError(Exception):
    """A message that was not sent. ``is_final`` says that another attempt would fail, too; the text holds no address."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


def send_due(clock: Callable[[], datetime]) -> None:
    """Send the messages that are due. Errors are recorded and logged; one message does not stop the others."""
    end = clock() + CHATS_PER_RUN
    rows = _rows().due(clock()).order_by("pk").values_list("message", "channel")
    # Mails first: customers choose the addresses of chats, which may answer late.
    for message, channel in sorted(dict(rows).items(), key=lambda one: one[1] != NoticeChannel.EMAIL):
        if channel != NoticeChannel.EMAIL and clock() > end:
            return
        if _rows().claim(message, now=clock()):
            _send(message, clock)


def _rows() -> NotificationQuerySet:
    """Return the rows of the database that they are written to: a replica may not have the newest."""
    return Notification.objects.using(router.db_for_write(Notification))


def _send(message: uuid.UUID, clock: Callable[[], datetime]) -> None:
    """Send a claimed message, and record the outcome."""
    rows = list(_rows().of_message(message).select_related("webhook__organization").order_by("pk"))
    error = _error_of(rows)
    if error is None:
        _rows().finish(message, now=clock())
        logger.info("notification sent message=%s channel=%s webhooks=%d", message, rows[0].channel, len(rows))
        return
    logger.warning("notification not sent message=%s attempt=%d: %s", message, rows[0].attempts, error)
    if error.is_final or rows[0].attempts > len(RETRY_SECONDS):
        _rows().finish(message, now=clock(), error=str(error))
    else:
        until = clock() + timedelta(seconds=RETRY_SECONDS[rows[0].attempts - 1])
        _rows().postpone(message, until=until, error=str(error))


def _error_of(rows: Sequence[Notification]) -> NotSentError | None:
    """Send a message; return the error, if it was not sent."""
    try:
        with translation.override(settings.LANGUAGE_CODE):
            digest = digest_of(rows)
            if rows[0].channel == NoticeChannel.EMAIL:
                _mail(digest, rows[0].recipient_list)
            else:
                _post(digest, rows[0])
    except NotSentError as error:
        return error
    except DeliveryError as error:
        return NotSentError(str(error), is_final=error.permanent)
    except Exception as error:
        # Mail backends have exceptions of their own. Only the class is kept, and no traceback logged: the texts of mail
        # servers quote recipients and messages.
        return NotSentError(type(error).__name__)
    return None


def _mail(digest: Digest, recipients: Sequence[str]) -> None:
    if not recipients:
        raise NotSentError("The recipients were erased.", is_final=True)
    text, html = (render_to_string(name, {"digest": digest, "language": settings.LANGUAGE_CODE}) for name in TEMPLATES)
    # The header keeps absence notes away: https://www.rfc-editor.org/rfc/rfc3834.
    mail = EmailMultiAlternatives(
        digest.subject, text, to=list(recipients), headers={"Auto-Submitted": "auto-generated"}
    )
    mail.attach_alternative(html, "text/html")
    mail.send()


def _post(digest: Digest, row: Notification) -> None:
    """Post a message to the chat of the organization, at the address that it has now."""
    body = _chat_body(digest, row.channel).encode()
    headers = {"content-type": "application/json; charset=utf-8"}
    request = Request("POST", _chat_url(row), headers, body, CHAT_DEADLINE)
    with closing(new_client()) as client:
        response = client.send(request)
    if not 200 <= response.status <= 299:
        is_final = 400 <= response.status <= 499 and response.status not in PASSING_STATUSES
        raise NotSentError(f"HTTP {response.status}", is_final=is_final)


def _chat_url(row: Notification) -> str:
    rows = NotificationAddresses.objects.filter(organization=row.webhook.organization_id)
    addresses = rows.first()
    sealed = None if addresses is None else addresses.chats.get(NoticeChannel(row.channel))
    if sealed is None:
        raise NotSentError("The address was removed.", is_final=True)
    try:
        return reveal(sealed)
    except SecretError:
        raise NotSentError("No encryption key decrypts the address.", is_final=True) from None


def _chat_body(digest: Digest, channel: str) -> str:
    """Return the body for a chat. It has room for a few webhooks, and counts the others."""
    shown = digest.items if len(digest.items) <= MOST_FACTS else digest.items[: MOST_FACTS - 1]
    facts = [Fact(item.name, " ".join([item.headline, *item.details[1:]]), item.url) for item in shown]
    hidden = digest.hidden + len(digest.items) - len(shown)
    return chat_message(channel, digest.subject, facts, footer=not_shown(hidden) or digest.footer)
