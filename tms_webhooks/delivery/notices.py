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
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from threading import Lock, Thread
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When

from tms_webhooks import validators
from tms_webhooks.choices import DISABLED_BY_USER, NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock as database_clock
from tms_webhooks.delivery.notice_messages import Recipients, recipients_of
from tms_webhooks.models import DrainSlot, Notification, Webhook, WebhookState
from tms_webhooks.models.notification import lines_of
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
    """Record the notices that are due, and send the messages that wait.

    A notice is recorded in the transaction that notes it on its webhook, so that two processes do not record it twice. A
    message is sent at most once: if the process is killed while it sends one, it may have arrived, and is not sent
    again. Errors are logged and not raised. ``run`` runs all that may hang: the host's function
    CONTACTS, mail servers and chats.
    """
    if not app_settings.NOTIFY:
        return
    now = clock()
    webhooks = [pk for states in due_states(now) for pk in states.values_list("pk", flat=True)]
    is_due = webhooks or Notification.objects.filter(due_at__lte=now).exists()
    if not is_due or DrainSlot.objects.is_own_outage(now):
        return
    from tms_webhooks.delivery import notice_messages

    def work() -> None:
        record_due(webhooks, now=clock())
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
            _record_in(recipients_of(members), now)
        except Exception:
            logger.exception("The notices of organization=%s could not be recorded.", organization_id)


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
        messages = _rows([notice], Recipients({webhook.pk: added}), database_clock.now())
        Notification.objects.bulk_create(messages)


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
