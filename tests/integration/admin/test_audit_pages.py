"""The audit log in the admin: read-only entries of the organizations that the user may view."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.actors import Actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Webhook

pytestmark = pytest.mark.django_db


def entry(webhook: Webhook, **values) -> AuditEntry:
    actor = Actor("administrator", "7", "Ann Admin")
    return AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=actor, now=timezone.now(), **values)


def listed(client: Client, **query: object) -> list[AuditEntry]:
    return list(client.get(url(AuditEntry, "changelist"), query).context["cl"].result_list)


def test_an_entry_shows_actor_and_action(operator):
    row = entry(subscribed(name="CRM"), changes={"name": {"from": "A", "to": "<B>"}})

    assert "Webhook changed Ann Admin (Administrator) CRM" in shown_at(operator, url(AuditEntry, "changelist"))
    text = shown_at(operator, url(AuditEntry, "change", row.public_id))
    assert '"to": "<B>"' in text


def test_it_is_filtered_by_webhook_and_reached_from_its_overview(operator):
    one, other = subscribed(), subscribed()
    wanted = entry(one)
    entry(other)

    overview = operator.get(reverse("admin:tms_webhooks_webhook_overview", args=[one.public_id])).content.decode()
    assert f"{url(AuditEntry, 'changelist')}?webhook={one.public_id}" in overview
    assert listed(operator, webhook=one.public_id) == [wanted]


def test_entries_of_others_are_neither_listed_nor_opened(alice, operator):
    ours, theirs = subscribed(organization=alice.organization), subscribed(name="theirs")
    mine, other = entry(ours), entry(theirs)

    assert listed(alice) == [mine]
    assert listed(alice, webhook=theirs.public_id) == []
    assert alice.get(url(AuditEntry, "change", other.public_id)).status_code == 302
    assert set(listed(operator)) == {mine, other}


def test_entries_can_not_be_changed_or_deleted(operator):
    row = entry(subscribed())

    assert operator.get(url(AuditEntry, "add")).status_code == 403
    assert operator.post(url(AuditEntry, "change", row.public_id), {}).status_code == 403
    assert operator.post(url(AuditEntry, "delete", row.public_id), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [row.public_id], "post": "yes"}
    operator.post(url(AuditEntry, "changelist"), data)
    assert AuditEntry.objects.get() == row


def test_the_list_takes_as_many_queries_for_many_entries_as_for_few(operator):
    def queries(number: int) -> int:
        for _ in range(number):
            entry(subscribed())
        with CaptureQueriesContext(connection) as captured:
            operator.get(url(AuditEntry, "changelist"))
        return len(captured)

    queries(2)

    assert queries(0) == queries(20) <= 12
