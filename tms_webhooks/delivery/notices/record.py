"""Record the notices of webhooks, and decide who gets them: rows of `Notification`, in one transaction per organization."""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import router, transaction
from django.utils.module_loading import import_string

from tms_webhooks import validators
from tms_webhooks.choices import NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.notices import rules
from tms_webhooks.models import Notification, NotificationAddresses, Webhook
from tms_webhooks.models.notification import as_lines, lines_of
from tms_webhooks.models.webhook import HEAVY_COLUMNS

NO_RECIPIENTS = "No contacts are known."

logger = logging.getLogger(__name__)


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
    for webhook in rows.defer(*HEAVY_COLUMNS):
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
    if not app_settings.NOTIFY or not rules.is_outage_known(webhook):
        return
    notice = Notice(webhook, NoticeKind(webhook.notified_of))
    known = webhook.notifications.filter(kind=notice.kind, created_at__gte=webhook.notified_at).order_by()
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
    if with_host and without is not None and app_settings.CONTACTS:
        found = _contacts_of_host(without)
        people = {pk: own or found for pk, own in people.items()}
    limited = {pk: own[: validators.CONTACTS_LIMIT] for pk, own in people.items()}
    return Recipients(limited, () if addresses is None else tuple(addresses.chats))


def _contacts_of_host(webhook: Webhook) -> list[str]:
    try:
        return [str(one) for one in import_string(app_settings.CONTACTS)(webhook.organization)]
    except Exception:
        logger.exception("CONTACTS failed for organization=%s.", webhook.organization_id)
        return []


def _record_in(organization_id: Any, webhooks: Sequence[Webhook], *, now: datetime, after: timedelta) -> None:
    # Before the transaction: the host's function may take long.
    recipients = recipients_of(organization_id, webhooks)
    keys = [webhook.pk for webhook in webhooks]
    using = router.db_for_write(Webhook)
    with transaction.atomic(using=using):
        # Locked and read again: another process may have recorded the same notices, or a worker a success.
        Webhook.objects.lock(keys)
        current = Webhook.objects.using(using).filter(pk__in=keys).defer(*HEAVY_COLUMNS)
        due = [(webhook, rules.due_notice(webhook, now=now, after=after)) for webhook in current]
        notices = [Notice(webhook, kind) for webhook, kind in due if kind is not None]
        for notice in notices:
            _note(notice, now=now, using=using)
        Notification.objects.using(using).bulk_create(
            _rows([one for one in notices if not _is_silent(one)], recipients, now)
        )


def _note(notice: Notice, *, now: datetime, using: str) -> None:
    """Note on the webhook what people are notified of."""
    is_over = notice.kind == NoticeKind.RECOVERED
    values: dict[str, Any] = {"notified_of": "" if is_over else notice.kind, "notified_at": now}
    if is_over:
        values["given_up_at"] = None
    Webhook.objects.using(using).filter(pk=notice.webhook.pk).update(**values)
    logger.info("notice webhook=%s kind=%s", notice.webhook.pk, notice.kind.value)


def _is_silent(notice: Notice) -> bool:
    """Return whether it makes no message: people who knew of a single delivery only do not wait for a recovery."""
    return notice.kind == NoticeKind.RECOVERED and notice.webhook.notified_of == NoticeKind.GIVEN_UP


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
    webhook = notice.webhook
    times = {
        NoticeKind.GIVEN_UP: webhook.given_up_at,
        NoticeKind.DISABLED: webhook.disabled_at,
        NoticeKind.RECOVERED: webhook.succeeded_at,
    }
    return times.get(notice.kind, webhook.failing_since)
