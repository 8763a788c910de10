"""What the tests of reconciling share: a reconciled source, and changes that nobody sees."""

import pytest
from django.db import connection
from django.utils import timezone

from tests import uncaptured
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks import reconciliation
from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind


class Workshops(WorkshopSource):
    reconcile = True


@pytest.fixture
def source(listen):
    return listen(Workshops, Workshop)


@pytest.fixture
def reconcile():
    """Go over a source as the task does."""

    def run(source, **options):
        with actor_context(ActorKind.RECONCILE):
            return reconciliation.reconcile(source, now=timezone.now(), **options)

    return run


@pytest.fixture
def workshops(source, organization, reconcile):
    """Five workshops with 0 to 4 seats, made while nobody listened, and known since a first pass."""
    made = [Workshop(organization=organization, title=f"W{seats}", seats=seats) for seats in range(5)]
    for workshop in made:
        unseen_insert(workshop)
    reconcile(source)
    return made


def unseen(sql, *params):
    """Change rows as another service does."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.rowcount


def unseen_insert(instance):
    """Insert a row as a restored backup does."""
    if isinstance(instance, Workshop):
        instance.updated_at = timezone.now()
    uncaptured.insert(instance)
