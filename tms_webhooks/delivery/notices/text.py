"""The text of a message: a digest of the notices of one organization, for mail, Slack and Teams.

It names webhooks, the hosts of their URLs, and results such as "HTTP 503"; never a path, a header, a secret or a response.
The names are text of the customer: on one line, and cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from urllib.parse import urlsplit

from django.apps import apps
from django.urls import NoReverseMatch, reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.choices import NoticeKind
from tms_webhooks.conf import CUSTOMER_SITE, app_settings
from tms_webhooks.models import Delivery, Notification, Webhook
from tms_webhooks.monitoring import words
from tms_webhooks.sources.deadlines import time_zone, zone_of
from tms_webhooks.sources.mapping import organization_value

LONGEST_NAME = 80
MOST_ITEMS = 100
"""Webhooks that a message describes. It counts the others."""
MOST_WAITING = 10_000
"""Waiting deliveries of a webhook that are counted."""


@dataclass(frozen=True, slots=True)
class Item:
    """One webhook in a digest: its name, what happened, and details. ``url`` is its page, or empty."""

    name: str
    headline: str
    details: Sequence[str]
    url: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A message: the subject, which has no name of a webhook, and its items. ``hidden`` is the number of further ones."""

    subject: str
    items: Sequence[Item]
    hidden: int
    footer: str

    @property
    def more(self) -> str:
        """A sentence about the webhooks that are not described, or an empty text."""
        return not_shown(self.hidden)


def digest_of(rows: Sequence[Notification]) -> Digest:
    """Return the text of a message from its rows, which are of one organization. Their webhooks have it loaded."""
    organization = rows[0].webhook.organization
    zone = zone_of(organization) or time_zone(None)
    counts = Counter(NoticeKind(row.kind) for row in rows)
    changes = ", ".join(f"{kind.label} ({counts[kind]})" for kind in NoticeKind if counts[kind])
    return Digest(
        # Without names of webhooks, which are the customer's own text: the recipients may be strangers.
        subject=_("Webhooks of %(organization)s: %(changes)s")
        % {"organization": one_line(organization_value(organization, "name") or organization), "changes": changes},
        items=[_item(row, zone) for row in rows[:MOST_ITEMS]],
        hidden=max(len(rows) - MOST_ITEMS, 0),
        footer=_(
            "You get one message for each change. Contacts and addresses are set in the webhook and in its organization."
        ),
    )


def not_shown(count: int) -> str:
    """Return a sentence about the number of webhooks that a message has no room for, or an empty text."""
    text = ngettext("%(count)d more webhook is not shown.", "%(count)d more webhooks are not shown.", count)
    return text % {"count": count} if count else ""


def one_line(value: object) -> str:
    """Return a name on one line, cut to `LONGEST_NAME` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def page_url(webhook: Webhook) -> str:
    """Return the public URL of a webhook's page, or an empty text if the installation does not know its own address."""
    if app_settings.ADMIN_URL:
        return f"{app_settings.ADMIN_URL.rstrip('/')}/tms_webhooks/webhook/{webhook.public_id}/overview/"
    if not apps.is_installed("django.contrib.sites"):
        return ""
    # Only with this app installed can its model be imported.
    from django.contrib.sites.models import Site

    try:
        # The customers' site, if the host has one: contacts are rarely staff.
        path = reverse("admin:tms_webhooks_webhook_overview", args=[webhook.public_id], current_app=CUSTOMER_SITE)
    except NoReverseMatch:
        return ""
    return f"https://{Site.objects.get_current().domain}{path}"


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
    return Item(one_line(webhook.name), headline, _details(row, moment), page_url(webhook))


def _details(row: Notification, moment: words.Moment) -> list[str]:
    webhook, kind = row.webhook, row.kind
    details = [_("Receiver: %(host)s") % {"host": urlsplit(webhook.url).netloc}]
    if kind == NoticeKind.RECOVERED:
        return details
    if kind == NoticeKind.DISABLED:
        details += [words.disabled_reason(webhook), words.missed_remedy()]
    if webhook.failures:
        details.append(words.failures(webhook, moment))
    waiting = Delivery.objects.waiting().filter(webhook=webhook)[: MOST_WAITING + 1].count()
    if waiting > MOST_WAITING:
        details.append(_("More than %(count)s deliveries wait.") % {"count": formats.number_format(MOST_WAITING, 0)})
    elif waiting:
        text = ngettext("%(count)d delivery waits.", "%(count)d deliveries wait.", waiting)
        details.append(text % {"count": waiting})
    return details
