"""While servers are replaced one after the other, code of the first release writes to the newest schema."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField, DeleteModel, RemoveField, RenameField, RenameModel
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import Delivery, Event, Job, Subscription, Webhook

APP = "tms_webhooks"
FIRST = (APP, "0001_initial")


@pytest.fixture(scope="module")
def loader() -> MigrationLoader:
    return MigrationLoader(None)


def operations(loader: MigrationLoader):
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app == APP and (app, name) != FIRST:
            yield from ((name, operation) for operation in migration.operations)


def test_a_column_that_came_later_needs_no_value(loader):
    state = loader.project_state().models
    needy = []
    for name, operation in operations(loader):
        if isinstance(operation, AddField):
            field = state[APP, operation.model_name.lower()].fields[operation.name]
            if not (field.null or field.has_db_default() or field.many_to_many):
                needy.append(f"{name}: {operation.model_name}.{operation.name} takes null=True or a db_default")

    assert needy == []


def test_no_migration_takes_away_what_the_release_before_it_uses(loader):
    taken = (DeleteModel, RemoveField, RenameField, RenameModel)

    assert [f"{name}: {operation.describe()}" for name, operation in operations(loader) if isinstance(operation, taken)] == []


def test_no_migration_depends_on_a_host(loader):
    known = {"tms_webhooks", "__setting__"}
    wrong = [
        (name, dependency)
        for (app, name), migration in loader.disk_migrations.items()
        if app == APP
        for dependency in migration.dependencies
        if getattr(dependency, "setting", None) is None and dependency[0] not in known
    ]

    assert wrong == []


@pytest.mark.django_db
def test_rows_of_the_first_release_can_be_written_and_are_read_with_defaults(loader):
    webhook = subscribed()
    delivery = write_delivery(webhook, now=timezone.now())
    event, subscription = delivery.event, webhook.subscriptions.get()
    job = Job.objects.create(kind="recover", webhook=webhook, created_at=timezone.now())
    old = loader.project_state(FIRST).models

    for model, pk in ((Job, job.pk), (Delivery, delivery.pk), (Event, event.pk), (Subscription, subscription.pk)):
        rewrite(model, pk, old[APP, model._meta.model_name].fields)
    rewrite(Webhook, webhook.pk, old[APP, "webhook"].fields, leave=True)

    assert Event.objects.get().external_id == ""
    assert Subscription.objects.get(pk=subscription.pk).filters == {}
    copy = Webhook.objects.order_by("-pk")[0]
    assert (copy.audience, copy.include_children) == ("owner", False)
    assert Delivery.objects.get().event == event


def rewrite(model: type[models.Model], pk: Any, fields: dict[str, models.Field], *, leave: bool = False) -> None:
    """Write a row anew with the columns that there were in the beginning, as the code of then does."""
    names = [model._meta.get_field(name).column for name in fields if not fields[name].many_to_many]
    quote, table = connection.ops.quote_name, connection.ops.quote_name(model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(map(quote, names))} FROM {table} WHERE id = %s", [pk])
        values = list(cursor.fetchone())
        if leave:
            values[names.index("id")] = pk + 1000
        else:
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", [pk])
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(map(quote, names))}) VALUES ({', '.join(['%s'] * len(names))})", values
        )
