"""Notify people of webhooks that fail, are disabled or recover: the rule, and the rows of the messages that are to be sent.

The state of a webhook has the last change that people were notified of (``notified_of``). The rule compares it with the webhook's
health, so each change is one notice, whichever process notices it first:

- failing: no attempt has succeeded for ``NOTIFY_AFTER_SECONDS``
- failing for a day: the same, for 24 hours
- disabled: by the system or the receiver; a user who disables a webhook knows it
- recovered, after one of these: a delivery has succeeded since the last failure, which is ``NOTIFY_AFTER_SECONDS`` ago. A
  receiver that fails again and again is not reported as recovered in between.
- given up: a delivery was given up, the error action is to notify, and people were not notified of anything since the
  last recovery

Test sends and manual resends change none of these times.

A message is a digest of the notices of one organization. It is a mail by Django's mail backend, or a message to Slack or
Teams by the app's own client. It names webhooks, the hosts of their URLs, and results such as "HTTP 503"; never a path, a header, a
secret or a response. The names are text of the customer: on one line, and cut. A process claims a message, sends it, and
writes how it went. A message that fails is sent again after RETRY_SECONDS, and given up after the last of them.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime, timedelta, tzinfo
from threading import Lock, Thread
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.template.loader import render_to_string
from django.utils import formats, translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from tms_webhooks import validators
from tms_webhooks.choices import DISABLED_BY_USER, ErrorClass, NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db import clock as database_clock
from tms_webhooks.exceptions import ConfigurationError, DeliveryError
from tms_webhooks.models import Delivery, DrainSlot, Notification, Webhook, WebhookState
from tms_webhooks.models.notification import LONGEST_ERROR, lines_of
from tms_webhooks.models.webhook import NOTICEABLE
from tms_webhooks.monitoring import words
from tms_webhooks.net.transports.base import Request
from tms_webhooks.payloads.formats.presets import MOST_FACTS, Fact, chat_message
from tms_webhooks.sources.deadlines import time_zone, zone_of
from tms_webhooks.sources.mapping import organization_value

DAY = timedelta(hours=24)
FAILING_KINDS = (NoticeKind.FAILING, NoticeKind.FAILING_FOR_A_DAY)
NO_RECIPIENTS = "No contacts are known."
PATIENCE = 5.0
"""Seconds that a sweep waits for the messages to be sent."""

LONGEST_NAME = 80
"""Characters of the name of a webhook or an organization."""
MOST_WAITING = 10_000
"""Waiting deliveries of a webhook that are counted."""
RETRY_SECONDS = (60, 300, 1_800, 7_200)
"""Seconds from a failed attempt to the next one."""
CHAT_DEADLINE = 10.0
CHATS_PER_RUN = timedelta(seconds=30)
"""Time after which a run begins no further message to a chat, so that slow chats hold back no mails of the next run."""
# A mail's text and HTML, in this order.
TEMPLATES = ("tms_webhooks/mail/notice.txt", "tms_webhooks/mail/notice.html")
# Answers after which a chat may accept the same message later.
PASSING_STATUSES = frozenset({408, 425, 429})

# People were notified that the webhook fails or was disabled, and it still does or is.
OUTAGE_IS_KNOWN = Q(enabled=True, state__failing_since__isnull=False, state__notified_of__in=FAILING_KINDS) | Q(
    enabled=False, state__notified_of=NoticeKind.DISABLED, disabled_at__lte=F("state__notified_at")
)

_is_busy = Lock()

logger = logging.getLogger(__name__)


class Notice(NamedTuple):
    """A webhook and the change that people are notified of."""

    webhook: Webhook
    kind: NoticeKind


# The notices that are due


def in_background(work: Callable[[], None]) -> None:
    """Run work that may hang in a thread, and wait for PATIENCE at most.

    Nothing is run while an earlier call still works, because a server that hangs would collect threads otherwise. The next
    call does what this one left.
    """

    def run() -> None:
        try:
            work()
        finally:
            # Only this thread uses its connections.
            connections.close_all()
            _is_busy.release()

    if _is_busy.acquire(blocking=False):
        thread = Thread(target=run, name="webhook-background", daemon=True)
        thread.start()
        thread.join(PATIENCE)


def notify(clock: Callable[[], datetime]) -> None:
    """Record the notices that are due, and send the messages that wait.

    A notice is recorded in the transaction that notes it on its webhook, so that two processes do not record it twice. A
    message is sent at most once: if the process is killed while it sends one, it may have arrived, and is not sent
    again. Errors are logged and not raised.
    """
    if not app_settings.NOTIFY:
        return
    now = clock()
    webhooks = [pk for states in due_states(now) for pk in states.values_list("pk", flat=True)]
    is_due = bool(webhooks) or Notification.objects.filter(due_at__lte=now).exists()
    if is_due and not DrainSlot.objects.is_own_outage(now):
        # The host's function CONTACTS, mail servers and chats may hang.
        in_background(lambda: _record_and_send(webhooks, clock))


def _record_and_send(webhooks: Sequence[int], clock: Callable[[], datetime]) -> None:
    rows = Webhook.objects.using(router.db_for_write(Webhook)).filter(pk__in=webhooks).select_related("organization")
    by_organization: dict[Any, list[Webhook]] = defaultdict(list)
    for webhook in rows:
        by_organization[webhook.organization_id].append(webhook)
    for organization_id, members in by_organization.items():
        # A fault of one organization stops no other.
        try:
            # Before the transaction: the host's function may take long.
            _record_in(recipients_of(members), clock())
        except Exception:
            logger.exception("The notices of organization=%s could not be recorded.", organization_id)
    send_due(clock)


def due_states(now: datetime) -> tuple[QuerySet[WebhookState], QuerySet[WebhookState]]:
    """Return the states of the enabled webhooks and of the disabled ones that are due a notice, which ``notice`` names.

    The first are read by the index ``tms_webhook_noticeable``, the others by ``tms_webhook_disabled``.
    """
    before = now - timedelta(seconds=app_settings.NOTIFY_AFTER_SECONDS)
    succeeded_since = Q(failed_at__isnull=True) | Q(failed_at__lte=before, failed_at__lt=F("succeeded_at"))
    # The first that applies counts.
    rules = {
        NoticeKind.FAILING_FOR_A_DAY: Q(failing_since__lte=now - DAY) & ~Q(notified_of=NoticeKind.FAILING_FOR_A_DAY),
        NoticeKind.FAILING: Q(failing_since__lte=before) & ~Q(notified_of__in=FAILING_KINDS),
        NoticeKind.RECOVERED: Q(
            succeeded_since, ~Q(notified_of=""), failing_since__isnull=True, succeeded_at__isnull=False
        ),
        NoticeKind.GIVEN_UP: Q(given_up_at__isnull=False, notified_of=""),
    }
    states = WebhookState.objects.using(router.db_for_write(Webhook))
    states = states.filter(webhook__deleted_at__isnull=True, webhook__pull_only=False)
    notice = Case(*[When(rule, then=Value(kind.value)) for kind, rule in rules.items()])
    of_enabled = states.annotate(notice=notice).filter(NOTICEABLE, webhook__enabled=True, notice__isnull=False)
    # It may have been enabled and disabled again since the last notice.
    unknown = ~Q(notified_of=NoticeKind.DISABLED) | Q(webhook__disabled_at__gt=F("notified_at"))
    of_disabled = states.annotate(notice=Value(NoticeKind.DISABLED.value)).filter(unknown, webhook__enabled=False)
    return of_enabled, of_disabled.exclude(webhook__disabled_reason__in=DISABLED_BY_USER)


def add_recipients(
    instance: Webhook, *, raw: bool, created: bool, update_fields: Collection[str] | None, **_signal: object
) -> None:
    """Record the last notice of a webhook that fails, or was disabled, for contacts that are added.

    Called in the transaction that saves them; the next sweep sends the message.
    """
    if raw or created or not app_settings.NOTIFY or "contacts" not in (update_fields or ["contacts"]):
        return
    rows = Webhook.objects.using(router.db_for_write(Webhook)).existing().filter(OUTAGE_IS_KNOWN, pull_only=False)
    webhook = rows.filter(pk=instance.pk).select_related("state").first()
    if webhook is None:
        return
    notice = Notice(webhook, NoticeKind(webhook.state.notified_of))
    known = webhook.notifications.filter(kind=notice.kind, created_at__gte=webhook.state.notified_at).order_by()
    people = {person for text in known.values_list("recipients", flat=True) for person in lines_of(text)}
    added = [one for one in lines_of(webhook.contacts)[: validators.CONTACTS_LIMIT] if one not in people]
    if added:
        Notification.objects.bulk_create(_rows([notice], Recipients({webhook.pk: added}), database_clock.now()))


def _record_in(recipients: Recipients, now: datetime) -> None:
    """Note on these webhooks of one organization what people are notified of, and record the messages."""
    using = router.db_for_write(Webhook)
    with transaction.atomic(using=using):
        # Locked and read again: another process may have recorded the same notices, or a worker a success.
        Webhook.objects.lock(recipients.people, with_state=True)
        due: Any = [states.filter(pk__in=recipients.people) for states in due_states(now)]
        kinds = {state.pk: NoticeKind(state.notice) for states in due for state in states}
        notices = []
        for webhook in Webhook.objects.using(using).filter(pk__in=kinds).select_related("state"):
            kind, known = kinds[webhook.pk], webhook.state.notified_of
            logger.info("notice webhook=%s kind=%s", webhook.pk, kind.value)
            is_over = kind == NoticeKind.RECOVERED
            values: dict[str, Any] = {"given_up_at": None} if is_over else {}
            state = WebhookState.objects.using(using).filter(pk=webhook.pk)
            state.update(notified_of="" if is_over else kind, notified_at=now, **values)
            # Of a recovery from a single delivery nothing is sent: people do not wait for it.
            if not is_over or known != NoticeKind.GIVEN_UP:
                notices.append(Notice(webhook, kind))
        Notification.objects.bulk_create(_rows(notices, recipients, now))


def _rows(notices: Sequence[Notice], recipients: Recipients, now: datetime) -> Iterator[Notification]:
    """Yield the rows of the messages about these notices: everybody gets one mail, and those with the same notices share it."""
    by_person: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        for person in dict.fromkeys(recipients.people[notice.webhook.pk]):
            by_person[person].append(notice)
    mails: dict[tuple[Notice, ...], list[str]] = defaultdict(list)
    for person, own in by_person.items():
        mails[tuple(own)].append(person)
    for together, people in mails.items():
        yield from _message(NoticeChannel.EMAIL, together, now, recipients="\n".join(people))
    for channel in recipients.chats:
        yield from _message(channel, notices, now)
    alone = [one for one in notices if not recipients.people[one.webhook.pk] and not recipients.chats]
    for webhook, kind in alone:
        logger.warning("webhook=%s kind=%s: the notice has no recipients, no contacts are known", webhook.pk, kind)
    ended = {"status": NoticeStatus.FAILED, "due_at": None, "finished_at": now, "error": NO_RECIPIENTS}
    yield from _message(NoticeChannel.EMAIL, alone, now, **ended)


def _message(channel: NoticeChannel, notices: Sequence[Notice], now: datetime, **values: Any) -> Iterator[Notification]:
    """Yield the rows of one message, with other ``values`` than those of a message that is due."""
    message = uuid.uuid4()
    for webhook, kind in notices:
        since = {
            NoticeKind.GIVEN_UP: webhook.state.given_up_at,
            NoticeKind.DISABLED: webhook.disabled_at,
            NoticeKind.RECOVERED: webhook.state.succeeded_at,
        }.get(kind, webhook.state.failing_since)
        row = {"kind": kind, "channel": channel, "message": message, "since": since or now, "due_at": now, **values}
        yield Notification(webhook=webhook, created_at=now, **row)


# Whom a message is for


class Recipients(NamedTuple):
    """Who is notified of the webhooks of one organization: people by the webhook's key, and the channels of its chats."""

    people: Mapping[int, Sequence[str]]
    chats: Collection[NoticeChannel] = ()


def recipients_of(webhooks: Sequence[Webhook]) -> Recipients:
    """Return who is notified of these webhooks of one organization.

    People are the webhook's own contacts, or else those that the host's CONTACTS returns. If that function fails, which is
    logged, they are the own contacts alone.
    """
    organization = webhooks[0].organization
    try:
        shared = host_addresses(organization)
    except Exception:
        logger.exception("CONTACTS failed for organization=%s.", organization.pk)
        shared = {}
    found = [str(one) for one in shared.get(NoticeChannel.EMAIL, ())]
    people = {webhook.pk: (lines_of(webhook.contacts) or found)[: validators.CONTACTS_LIMIT] for webhook in webhooks}
    return Recipients(people, [one for one in (NoticeChannel.SLACK, NoticeChannel.TEAMS) if shared.get(one)])


def host_addresses(organization: Any) -> Mapping[str, Any]:
    """Return what the host's CONTACTS returns for an organization, by channel: e-mail addresses, and a URL for each chat."""
    function = contacts_function()
    found = function(organization) if function else {}
    return found if isinstance(found, Mapping) else {NoticeChannel.EMAIL: found}


def contacts_function() -> Callable[[Any], Any] | None:
    """Return the function that the setting ``CONTACTS`` names, or None. Raise `ConfigurationError` if it is no function."""
    path, function = app_settings.CONTACTS, None
    with suppress(ImportError):
        function = import_string(path)
    if path and not callable(function):
        raise ConfigurationError(
            f"{SETTING_NAME}['CONTACTS'] is {path!r}, which is not a function that can be imported.",
            number="E093",
            hint="Write the dotted path of a function that takes an organization and returns a list of e-mail addresses, "
            "or remove the setting.",
        )
    return function


# Messages


class Item(NamedTuple):
    """One webhook in a message: its name, what happened, and details. ``url`` is its page, or empty."""

    name: str
    headline: str
    details: Sequence[str]
    url: str


def send_due(clock: Callable[[], datetime]) -> None:
    """Send the messages that are due. Errors are recorded and logged; one message does not stop the others."""
    end = clock() + CHATS_PER_RUN
    rows = Notification.objects.filter(due_at__lte=clock()).order_by("pk").values_list("message", "channel")
    # Mails first: customers choose the addresses of chats, which may answer late.
    for message, channel in sorted(dict(rows).items(), key=lambda one: one[1] != NoticeChannel.EMAIL):
        if channel != NoticeChannel.EMAIL and clock() > end:
            return
        # Unless another process has begun, or has sent it.
        due = Notification.objects.filter(message=message, due_at__lte=clock())
        if due.update(status=NoticeStatus.SENDING, due_at=None, attempts=F("attempts") + 1):
            _send(message, clock)


def _send(message: uuid.UUID, clock: Callable[[], datetime]) -> None:
    """Send a claimed message, and record the outcome."""
    claimed = Notification.objects.filter(message=message, status=NoticeStatus.SENDING)
    rows = list(claimed.select_related("webhook__organization", "webhook__state").order_by("pk"))
    problem, is_final, attempts = "", False, rows[0].attempts
    try:
        with translation.override(settings.LANGUAGE_CODE):
            if rows[0].channel == NoticeChannel.EMAIL:
                _mail(rows)
            else:
                _post(rows)
    except DeliveryError as error:
        problem, is_final = str(error), error.permanent
    except Exception as error:
        # Mail backends have exceptions of their own. Only the class is kept, and no traceback logged: the texts of mail
        # servers quote recipients and messages.
        problem = type(error).__name__
    if not problem:
        claimed.update(status=NoticeStatus.SENT, finished_at=clock(), error="")
        logger.info("notification sent message=%s channel=%s webhooks=%d", message, rows[0].channel, len(rows))
        return
    logger.warning("notification not sent message=%s attempt=%d: %s", message, attempts, problem)
    problem = problem[:LONGEST_ERROR]
    if is_final or attempts > len(RETRY_SECONDS):
        claimed.update(status=NoticeStatus.FAILED, finished_at=clock(), error=problem)
    else:
        until = clock() + timedelta(seconds=RETRY_SECONDS[attempts - 1])
        claimed.update(status=NoticeStatus.PENDING, due_at=until, error=problem)


def _not_sent(problem: str, *, is_final: bool = True) -> DeliveryError:
    """Return the error of a message that was not sent. The text holds no address."""
    return DeliveryError(problem, error_class=ErrorClass.OTHER, permanent=is_final)


def _mail(rows: Sequence[Notification]) -> None:
    if not rows[0].recipient_list:
        raise _not_sent("The recipients were erased.")
    subject = subject_of(rows)
    values = {"subject": subject, "items": items_of(rows), "footer": footer(), "language": settings.LANGUAGE_CODE}
    text, html = (render_to_string(name, values) for name in TEMPLATES)
    # The header keeps absence notes away: https://www.rfc-editor.org/rfc/rfc3834.
    mail = EmailMultiAlternatives(
        subject, text, to=rows[0].recipient_list, headers={"Auto-Submitted": "auto-generated"}
    )
    mail.attach_alternative(html, "text/html")
    mail.send()


def _post(rows: Sequence[Notification]) -> None:
    """Post a message to the chat of the organization, at the address that it has now. It describes a few webhooks, and counts the others."""
    url = host_addresses(rows[0].webhook.organization).get(rows[0].channel)
    if not url:
        raise _not_sent("The address was removed.")
    described, hidden = items_of(rows[:MOST_FACTS]), len(rows) - MOST_FACTS
    facts = [Fact(item.name, " ".join([item.headline, *item.details[1:]]), item.url) for item in described]
    end = _("Webhooks that are not shown: %(count)d") % {"count": hidden} if hidden > 0 else footer()
    body = chat_message(rows[0].channel, subject_of(rows), facts, footer=end)
    headers = {"content-type": "application/json; charset=utf-8"}
    from tms_webhooks.net.transports.client import Client

    with closing(Client()) as client:
        response = client.send(Request("POST", url, headers, body.encode(), CHAT_DEADLINE))
    if not 200 <= response.status <= 299:
        is_final = 400 <= response.status <= 499 and response.status not in PASSING_STATUSES
        raise _not_sent(f"HTTP {response.status}", is_final=is_final)


def subject_of(rows: Sequence[Notification]) -> str:
    """Return the subject of a message from its rows, which are of one organization.

    It has no names of webhooks, which are the customer's own text: the recipients may be strangers.
    """
    organization = rows[0].webhook.organization
    counts = Counter(NoticeKind(row.kind) for row in rows)
    changes = ", ".join(f"{kind.label} ({counts[kind]})" for kind in NoticeKind if counts[kind])
    name = _on_one_line(str(organization_value(organization, "name") or organization))
    return _("Webhooks of %(organization)s: %(changes)s") % {"organization": name, "changes": changes}


def footer() -> str:
    """Return the last sentence of a message."""
    return _("You get one message for each change. The contacts are set in the webhook.")


def _on_one_line(name: str) -> str:
    """Return a name on one line, cut to `LONGEST_NAME` characters. Those that join letters or emoji stay."""
    return validators.shorten(" ".join(name.split()), longest=LONGEST_NAME)


def page_url(webhook: Webhook) -> str:
    """Return the public URL of a webhook's page, or an empty text if the installation does not know its own address."""
    root = app_settings.ADMIN_URL.rstrip("/")
    return f"{root}/tms_webhooks/webhook/{webhook.public_id}/overview/" if root else ""


def items_of(rows: Sequence[Notification]) -> list[Item]:
    """Return what a message says of each webhook, in the time zone of their organization."""
    zone = zone_of(rows[0].webhook.organization) or time_zone(None)
    return [_item(row, zone) for row in rows]


def _item(row: Notification, zone: tzinfo) -> Item:
    def moment(value: datetime | None) -> str:
        local = (value or row.since).astimezone(zone)
        # Not DATETIME_FORMAT, which ends with "p.m." in English and would double the period at the end of a sentence.
        return f"{formats.date_format(local, 'DATE_FORMAT')}, {formats.date_format(local, 'H:i')} ({zone})"

    webhook, since = row.webhook, {"since": moment(row.since)}
    headlines = {
        NoticeKind.GIVEN_UP: _("A delivery was given up on %(since)s. It is sent again only if you resend it."),
        NoticeKind.FAILING: _("Failing since %(since)s. No attempt has succeeded."),
        NoticeKind.FAILING_FOR_A_DAY: _("Still failing since %(since)s. No attempt has succeeded for a day."),
        NoticeKind.DISABLED: _("Disabled on %(since)s. It gets no requests until it is enabled."),
        NoticeKind.RECOVERED: _("Works again: a delivery succeeded on %(since)s."),
    }
    headline = headlines[NoticeKind(row.kind)] % since
    return Item(_on_one_line(webhook.name), headline, _details(row, moment), page_url(webhook))


def _details(row: Notification, moment: words.Moment) -> list[str]:
    webhook, kind = row.webhook, row.kind
    details = [_("Receiver: %(host)s") % {"host": urlsplit(webhook.url).netloc}]
    if kind == NoticeKind.RECOVERED:
        return details
    if kind == NoticeKind.DISABLED:
        details += [words.disabled_reason(webhook), words.missed_remedy()]
    if webhook.state.failures:
        details.append(words.failures(webhook.state, moment))
    waiting = Delivery.objects.waiting().filter(webhook=webhook)[: MOST_WAITING + 1].count()
    if waiting:
        count = f"{MOST_WAITING:,}+" if waiting > MOST_WAITING else waiting
        details.append(_("Deliveries that wait: %(count)s") % {"count": count})
    return details
