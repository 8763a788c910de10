"""The filter of the database finds the webhooks that are due a notice by the rule, and no others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

from tests.factories import STATE_FIELDS, unsaved_webhook
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import DisabledReason, NoticeKind
from tms_webhooks.delivery.notices.record import candidates, due_notice
from tms_webhooks.models import Webhook, WebhookState

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
AFTER = timedelta(minutes=9)
RECENT, LONG, DAYS = (NOW - timedelta(minutes=minutes) for minutes in (5, 20, 3_000))

ENABLED = [{}, {"enabled": False, "disabled_reason": DisabledReason.ADMIN, "disabled_at": LONG}] + [
    {"enabled": False, "disabled_reason": DisabledReason.GONE, "disabled_at": at} for at in (RECENT, DAYS)
]
FAILING = [
    {"failed_at": failed_at, "failing_since": since, "succeeded_at": succeeded_at}
    for failed_at, since, succeeded_at in [
        (None, None, None),
        (None, None, LONG),
        (RECENT, None, RECENT + timedelta(seconds=1)),
        (LONG, None, RECENT),
        (LONG, None, DAYS),
        (RECENT, RECENT, None),
        (RECENT, LONG, DAYS),
        (RECENT, DAYS, None),
    ]
]
NOTIFIED = [{"notified_of": "", "notified_at": None}] + [
    {"notified_of": kind, "notified_at": LONG} for kind in NoticeKind if kind != NoticeKind.RECOVERED
]
GIVEN_UP = [{}, {"given_up_at": LONG}]
OTHERS = [{}, {"deleted_at": LONG}, {"pull_only": True, "url": ""}]


def test_the_filter_and_the_rule_agree_on_every_state():
    template = subscribed()
    states = [
        {key: value for part in parts for key, value in part.items()}
        for parts in product(ENABLED, FAILING, NOTIFIED, GIVEN_UP, OTHERS)
    ]
    base = {"organization_id": template.organization_id, "url": template.url}
    made = [unsaved_webhook(**{**base, "name": f"{number}", **state}) for number, state in enumerate(states)]
    given = [webhook.state for webhook in made]
    Webhook.objects.bulk_create(made)
    for state in given:
        state.pk = state.webhook.pk
    WebhookState.objects.bulk_update(given, [*STATE_FIELDS])

    found = [state.pk for states in candidates(NOW, AFTER, using="default") for state in states]

    rows = Webhook.objects.select_related("state")
    expected = [row.pk for row in rows if due_notice(row, now=NOW, after=AFTER) is not None]
    assert sorted(found) == sorted(expected)
    assert 0 < len(expected) < len(states)
