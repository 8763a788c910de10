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

Test sends and manual resends change none of these times. `notice_messages` sends the messages.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.utils.module_loading import import_string

from tms_webhooks import validators
from tms_webhooks.choices import DISABLED_BY_USER, NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db import clock as database_clock
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import DrainSlot, Notification, NotificationAddresses, Webhook, WebhookState
from tms_webhooks.models.notification import as_lines, lines_of
from tms_webhooks.models.webhook import NOTICEABLE

DAY = timedelta(hours=24)
FAILING_KINDS = (NoticeKind.FAILING, NoticeKind.FAILING_FOR_A_DAY)
NO_RECIPIENTS = "No contacts are known."
PATIENCE = 5.0
"""Seconds that a sweep waits for the messages to be sent."""

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


class Recipients(NamedTuple):
    """Who is notified of the webhooks of one organization: people by the webhook's key, and the channels of its chats."""

    people: Mapping[int, Sequence[str]]
    chats: Collection[NoticeChannel] = ()


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


def notify(clock: Callable[[], datetime], *, run: Callable[[Callable[[], None]], None] = in_background) -> None:
    """Record the notices that are due, and send the messages that wait. Without either, it takes one query.

    A notice is recorded in the transaction that notes it on its webhook, so that two processes do not record it twice. A
    message is sent at most once: if the process is killed while it sends one, it may have arrived, and is not sent
    again. Errors are logged and not raised. ``run`` runs all that may hang: the host's function
    CONTACTS, mail servers and chats.
    """
    if not app_settings.NOTIFY:
        return
    now = clock()
    messages = Notification.objects.filter(due_at__lte=now).order_by()
    rows = messages.annotate(is_message=Value(1)).values_list("is_message", "pk")
    due = [states.annotate(is_message=Value(0)).values_list("is_message", "pk") for states in due_states(now)]
    found = list(rows.union(*due, all=True).order_by())
    if not found or DrainSlot.objects.is_own_outage(now):
        return
    from tms_webhooks.delivery import notice_messages

    def work() -> None:
        record_due([pk for is_message, pk in found if not is_message], now=clock())
        notice_messages.send_due(clock)

    run(work)


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


def record_due(webhooks: Collection[int], *, now: datetime) -> None:
    """Record the notices that these webhooks are due. A fault of one organization, which is logged, stops no other."""
    rows = Webhook.objects.using(router.db_for_write(Webhook)).filter(pk__in=webhooks).select_related("organization")
    by_organization: dict[Any, list[Webhook]] = defaultdict(list)
    for webhook in rows:
        by_organization[webhook.organization_id].append(webhook)
    for organization_id, members in by_organization.items():
        try:
            # Before the transaction: the host's function may take long.
            _record_in(recipients_of(organization_id, members), now)
        except Exception:
            logger.exception("The notices of organization=%s could not be recorded.", organization_id)


def add_recipients(
    instance: Webhook | NotificationAddresses,
    *,
    raw: bool,
    created: bool,
    update_fields: Collection[str] | None,
    **_signal: object,
) -> None:
    """Record the last notice of webhooks that fail, or were disabled, for recipients that are added.

    Called in the transaction that saves them; the next sweep sends the messages. The addresses of the host's CONTACTS are
    left out: a form is saved, and that function may take long.
    """
    changes = {"contacts", "slack_url", "teams_url"}.intersection(update_fields or {"contacts"})
    if raw or not changes or not app_settings.NOTIFY or (created and isinstance(instance, Webhook)):
        return
    mine = Q(pk=instance.pk) if isinstance(instance, Webhook) else Q(organization=instance.organization_id)
    rows = Webhook.objects.using(router.db_for_write(Webhook)).existing().filter(mine, OUTAGE_IS_KNOWN, pull_only=False)
    webhooks = list(rows.select_related("state"))
    if not webhooks:
        return
    found = recipients_of(instance.organization_id, webhooks, with_host=False)
    for webhook in webhooks:
        notice = Notice(webhook, NoticeKind(webhook.state.notified_of))
        known = webhook.notifications.filter(kind=notice.kind, created_at__gte=webhook.state.notified_at).order_by()
        sent = list(known.values_list("channel", "recipients"))
        reached = {channel for channel, _recipients in sent}
        people = {person for _channel, recipients in sent for person in lines_of(recipients)}
        added = [one for one in found.people[webhook.pk] if one not in people]
        chats = [one for one in found.chats if one not in reached]
        if added or chats:
            messages = _rows([notice], Recipients({webhook.pk: added}, chats), database_clock.now())
            Notification.objects.bulk_create(messages)


def recipients_of(organization_id: Any, webhooks: Iterable[Webhook], *, with_host: bool = True) -> Recipients:
    """Return who is notified of these webhooks of one organization.

    People are the webhook's own contacts; or else those of the organization; or else those that the host's CONTACTS
    returns. If that function fails, which is logged, the webhook has no recipients.
    """
    rows = NotificationAddresses.objects.using(router.db_for_write(NotificationAddresses))
    addresses = rows.filter(organization=organization_id).first()
    shared = [] if addresses is None else lines_of(addresses.contacts)
    people = {webhook.pk: lines_of(webhook.contacts) or shared for webhook in webhooks}
    without = next((webhook for webhook in webhooks if not people[webhook.pk]), None)
    if with_host and without is not None:
        try:
            function = contacts_function()
            found = [str(one) for one in function(without.organization)] if function else []
        except Exception:
            logger.exception("CONTACTS failed for organization=%s.", without.organization_id)
            found = []
        people = {pk: own or found for pk, own in people.items()}
    limited = {pk: own[: validators.CONTACTS_LIMIT] for pk, own in people.items()}
    return Recipients(limited, () if addresses is None else tuple(addresses.chats))


def contacts_function() -> Callable[[Any], Iterable[str]] | None:
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
    messages: list[tuple[NoticeChannel, Sequence[Notice], dict[str, Any]]] = [
        (NoticeChannel.EMAIL, own, {"recipients": as_lines(people), "due_at": now}) for own, people in mails.items()
    ]
    messages += [(channel, notices, {"due_at": now}) for channel in recipients.chats]
    alone = [one for one in notices if not recipients.people[one.webhook.pk] and not recipients.chats]
    for webhook, kind in alone:
        logger.warning("webhook=%s kind=%s: the notice has no recipients, no contacts are known", webhook.pk, kind)
    ended = {"status": NoticeStatus.FAILED, "finished_at": now, "error": NO_RECIPIENTS}
    messages.append((NoticeChannel.EMAIL, alone, ended))
    for channel, members, values in messages:
        message = uuid.uuid4()
        for webhook, kind in members:
            since = {
                NoticeKind.GIVEN_UP: webhook.state.given_up_at,
                NoticeKind.DISABLED: webhook.disabled_at,
                NoticeKind.RECOVERED: webhook.state.succeeded_at,
            }.get(kind, webhook.state.failing_since)
            yield Notification(
                webhook=webhook,
                kind=kind,
                channel=channel,
                message=message,
                since=since or now,
                created_at=now,
                **values,
            )
