"""When people are notified of a webhook, and who: the rule, and rows of `Notification` in one transaction per organization.

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
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.db.models import F, Q, QuerySet
from django.utils.module_loading import import_string

from tms_webhooks import validators
from tms_webhooks.choices import DISABLED_BY_USER, NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import Notification, NotificationAddresses, Webhook, WebhookState
from tms_webhooks.models.notification import as_lines, lines_of
from tms_webhooks.models.webhook_state import NOTICEABLE

DAY = timedelta(hours=24)
FAILING_KINDS = (NoticeKind.FAILING, NoticeKind.FAILING_FOR_A_DAY)
NO_RECIPIENTS = "No contacts are known."

logger = logging.getLogger(__name__)


def due_notice(webhook: Webhook, *, now: datetime, after: timedelta) -> NoticeKind | None:
    """Return the notice that a webhook is due, or None. ``after`` is NOTIFY_AFTER_SECONDS."""
    if webhook.pull_only or webhook.deleted_at is not None:
        return None
    if not webhook.enabled:
        return _notice_of_disabled(webhook)
    state = webhook.state
    if state.failing_since is not None:
        failing_for = now - state.failing_since
        if failing_for >= DAY and state.notified_of != NoticeKind.FAILING_FOR_A_DAY:
            return NoticeKind.FAILING_FOR_A_DAY
        is_known = state.notified_of in FAILING_KINDS
        if failing_for >= after and not is_known:
            return NoticeKind.FAILING
    elif state.notified_of and state.succeeded_at is not None:
        failed_at = state.failed_at
        if failed_at is None or (failed_at <= now - after and failed_at < state.succeeded_at):
            return NoticeKind.RECOVERED
    return NoticeKind.GIVEN_UP if state.given_up_at is not None and not state.notified_of else None


def is_outage_known(webhook: Webhook) -> bool:
    """Return whether people were notified that a webhook fails or was disabled, and it still does or is."""
    if webhook.pull_only or webhook.deleted_at is not None:
        return False
    if not webhook.enabled:
        return webhook.state.notified_of == NoticeKind.DISABLED and _notice_of_disabled(webhook) is None
    return webhook.state.failing_since is not None and webhook.state.notified_of in FAILING_KINDS


def candidates(now: datetime, after: timedelta, *, using: str) -> tuple[QuerySet[WebhookState], QuerySet[WebhookState]]:
    """Return the states of the enabled webhooks that `due_notice` is not None for, and of the disabled ones.

    The first are read by the index ``tms_webhook_noticeable``, the others by ``tms_webhook_disabled``.
    """
    failing_for_a_day = Q(failing_since__lte=now - DAY) & ~Q(notified_of=NoticeKind.FAILING_FOR_A_DAY)
    failing = Q(failing_since__lte=now - after) & ~Q(notified_of__in=FAILING_KINDS)
    succeeded_since = Q(failed_at__isnull=True) | Q(failed_at__lte=now - after, failed_at__lt=F("succeeded_at"))
    recovered = Q(succeeded_since, ~Q(notified_of=""), failing_since__isnull=True, succeeded_at__isnull=False)
    given_up = Q(given_up_at__isnull=False, notified_of="")
    states = WebhookState.objects.using(using).filter(webhook__deleted_at__isnull=True, webhook__pull_only=False)
    of_enabled = states.filter(NOTICEABLE, failing_for_a_day | failing | recovered | given_up, webhook__enabled=True)
    unknown = ~Q(notified_of=NoticeKind.DISABLED) | Q(webhook__disabled_at__gt=F("notified_at"))
    of_disabled = states.filter(unknown, webhook__enabled=False)
    return of_enabled, of_disabled.exclude(webhook__disabled_reason__in=DISABLED_BY_USER)


def _notice_of_disabled(webhook: Webhook) -> NoticeKind | None:
    if webhook.disabled_reason in DISABLED_BY_USER:
        return None
    # It may have been enabled and disabled again since the last notice.
    state = webhook.state
    is_known = (
        state.notified_of == NoticeKind.DISABLED
        and state.notified_at is not None
        and (webhook.disabled_at is None or webhook.disabled_at <= state.notified_at)
    )
    return None if is_known else NoticeKind.DISABLED


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook and the change that people are notified of."""

    webhook: Webhook
    kind: NoticeKind


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who is notified of the webhooks of one organization: people by the webhook's key, and the channels of its chats."""

    people: Mapping[int, Sequence[str]]
    chats: Collection[NoticeChannel] = ()


def record_due(webhooks: Collection[int], *, now: datetime, after: timedelta) -> None:
    """Record the notices that these webhooks are due. A fault of one organization, which is logged, stops no other."""
    rows = Webhook.objects.using(router.db_for_write(Webhook)).filter(pk__in=webhooks).select_related("organization")
    by_organization: dict[Any, list[Webhook]] = defaultdict(list)
    for webhook in rows:
        by_organization[webhook.organization_id].append(webhook)
    for organization_id, members in by_organization.items():
        try:
            _record_in(organization_id, members, now=now, after=after)
        except Exception:
            logger.exception("The notices of organization=%s could not be recorded.", organization_id)


def record_added(webhook: Webhook, *, now: datetime) -> None:
    """Record the last notice of a webhook that fails, or was disabled, for the recipients that did not get it.

    The addresses of the host's CONTACTS are left out: the caller saves a form, and that function may take long.
    """
    if not app_settings.NOTIFY or not is_outage_known(webhook):
        return
    notice = Notice(webhook, NoticeKind(webhook.state.notified_of))
    known = webhook.notifications.filter(kind=notice.kind, created_at__gte=webhook.state.notified_at).order_by()
    reached, people = set(), set()
    for channel, addresses in known.values_list("channel", "recipients"):
        reached.add(channel)
        people.update(lines_of(addresses))
    found = recipients_of(webhook.organization_id, [webhook], with_host=False)
    added = [one for one in found.people[webhook.pk] if one not in people]
    chats = [one for one in found.chats if one not in reached]
    if added or chats:
        rows = _rows([notice], Recipients({webhook.pk: added}, chats), now)
        Notification.objects.bulk_create(rows)


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


def _record_in(organization_id: Any, webhooks: Sequence[Webhook], *, now: datetime, after: timedelta) -> None:
    # Before the transaction: the host's function may take long.
    recipients = recipients_of(organization_id, webhooks)
    keys = [webhook.pk for webhook in webhooks]
    using = router.db_for_write(Webhook)
    with transaction.atomic(using=using):
        # Locked and read again: another process may have recorded the same notices, or a worker a success.
        Webhook.objects.lock(keys, with_state=True)
        current = Webhook.objects.using(using).filter(pk__in=keys).select_related("state")
        due = [(webhook, due_notice(webhook, now=now, after=after)) for webhook in current]
        notices = [Notice(webhook, kind) for webhook, kind in due if kind is not None]
        for notice in notices:
            _note(notice, now=now, using=using)
        # Of a recovery from a single delivery nothing is sent: people do not wait for it.
        sent = [
            notice
            for notice in notices
            if notice.kind != NoticeKind.RECOVERED or notice.webhook.state.notified_of != NoticeKind.GIVEN_UP
        ]
        Notification.objects.using(using).bulk_create(_rows(sent, recipients, now))


def _note(notice: Notice, *, now: datetime, using: str) -> None:
    """Note on the webhook what people are notified of."""
    is_over = notice.kind == NoticeKind.RECOVERED
    values: dict[str, Any] = {"notified_of": "" if is_over else notice.kind, "notified_at": now}
    if is_over:
        values["given_up_at"] = None
    WebhookState.objects.using(using).filter(pk=notice.webhook.pk).update(**values)
    logger.info("notice webhook=%s kind=%s", notice.webhook.pk, notice.kind.value)


def _rows(notices: Sequence[Notice], recipients: Recipients, now: datetime) -> Iterator[Notification]:
    for people, members in _mails(notices, recipients):
        yield from _rows_of_message(NoticeChannel.EMAIL, members, now, recipients=as_lines(people), due_at=now)
    for channel in recipients.chats:
        yield from _rows_of_message(channel, notices, now, due_at=now)
    alone = [one for one in notices if not recipients.people[one.webhook.pk] and not recipients.chats]
    for notice in alone:
        logger.warning(
            "webhook=%s kind=%s: the notice has no recipients, no contacts are known", notice.webhook.pk, notice.kind
        )
    ended = {"status": NoticeStatus.FAILED, "finished_at": now, "error": NO_RECIPIENTS}
    yield from _rows_of_message(NoticeChannel.EMAIL, alone, now, **ended)


def _mails(notices: Sequence[Notice], recipients: Recipients) -> Iterator[tuple[list[str], list[Notice]]]:
    """Yield the recipients of each mail with its notices: everybody gets one mail, and those with the same ones share it."""
    by_person: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        for person in dict.fromkeys(recipients.people[notice.webhook.pk]):
            by_person[person].append(notice)
    by_notices: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for person, own in by_person.items():
        by_notices[tuple(one.webhook.pk for one in own)].append(person)
    for people in by_notices.values():
        yield people, by_person[people[0]]


def _rows_of_message(
    channel: NoticeChannel, notices: Iterable[Notice], now: datetime, **values: Any
) -> Iterator[Notification]:
    message = uuid.uuid4()
    for notice in notices:
        yield Notification(
            webhook=notice.webhook,
            kind=notice.kind,
            channel=channel,
            message=message,
            since=_since(notice) or now,
            created_at=now,
            **values,
        )


def _since(notice: Notice) -> datetime | None:
    """Return when the change happened."""
    state = notice.webhook.state
    times = {
        NoticeKind.GIVEN_UP: state.given_up_at,
        NoticeKind.DISABLED: notice.webhook.disabled_at,
        NoticeKind.RECOVERED: state.succeeded_at,
    }
    return times.get(notice.kind, state.failing_since)
