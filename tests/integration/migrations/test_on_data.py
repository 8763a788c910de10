"""The migrations from the first to the last, on a database that is in use, and back."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tms_webhooks.models import Delivery, Event, Subscription, Webhook

FIRST = [("tms_webhooks", "0001_initial")]


@pytest.fixture
def migrate(transactional_db):
    """Migrate the app; the newest schema is there again in the end."""

    def migrate(targets):
        executor = MigrationExecutor(connection)
        executor.migrate(targets)
        return executor.loader.project_state(targets).apps

    newest = [node for node in MigrationExecutor(connection).loader.graph.leaf_nodes() if node[0] == "tms_webhooks"]
    yield lambda targets=newest: migrate(targets)
    migrate(newest)


def test_data_comes_through_and_back(migrate):
    organization = OrganizationFactory()
    then = migrate(FIRST)
    old = {name: then.get_model("tms_webhooks", name) for name in ("Webhook", "Subscription", "Event", "Delivery")}
    now = timezone.now()
    webhook = old["Webhook"].objects.create(organization_id=organization.pk, name="CRM", url="https://a.example.com/")
    old["Subscription"].objects.create(webhook=webhook, event_type="class.*")
    event = old["Event"].objects.create(
        type="class.cancelled",
        organization_id=organization.pk,
        subject_type="class",
        subject_id="7",
        subject_key=1,
        sequence=1,
        actor_kind="system",
        occurred_at=now,
        fanned_out_at=now,
        body='{"id":"evt_1"}',
    )
    old["Delivery"].objects.create(event=event, webhook=webhook, due_at=now, created_at=now)

    migrate()

    kept = Webhook.objects.get()
    assert (kept.name, kept.audience) == ("CRM", "owner")
    assert (Subscription.objects.get().filters, Subscription.objects.get().condition) == ({}, None)
    assert Event.objects.get().body == '{"id":"evt_1"}'
    assert Delivery.objects.get().webhook == kept

    before = migrate(FIRST)
    assert before.get_model("tms_webhooks", "Event").objects.get().body == '{"id":"evt_1"}'
    assert before.get_model("tms_webhooks", "Webhook").objects.get().name == "CRM"
