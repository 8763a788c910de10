"""A save's own UPDATE returns the new values; wherever they may change once more, the row is read again."""

import threading
from contextlib import ExitStack, contextmanager

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models.signals import post_save, pre_save

from example_project.training.factories import OrganizationFactory
from tests import uncaptured
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.patience import PATIENCE
from tests.testapp.models import OnsiteWorkshop, Workshop
from tests.threads import at_once, wait_until_blocking
from tms_webhooks.sources import stored_rows

pytestmark = pytest.mark.django_db(transaction=True)


TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER full_house AFTER UPDATE ON testapp_workshop WHEN NEW.seats <> 99"
        " BEGIN UPDATE testapp_workshop SET seats = 99 WHERE id = NEW.id; END"
    ],
    "postgresql": [
        "CREATE FUNCTION full_house() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.seats <> 99 THEN UPDATE testapp_workshop SET seats = 99 WHERE id = NEW.id; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER full_house AFTER UPDATE ON testapp_workshop FOR EACH ROW EXECUTE FUNCTION full_house()",
    ],
    "mysql": ["CREATE TRIGGER full_house BEFORE UPDATE ON testapp_workshop FOR EACH ROW SET NEW.seats = 99"],
}
NO_TRIGGERS = {
    "sqlite": ["DROP TRIGGER full_house"],
    "postgresql": ["DROP TRIGGER full_house ON testapp_workshop", "DROP FUNCTION full_house()"],
    "mysql": ["DROP TRIGGER full_house"],
}


def execute(statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def forget_tables():
    stored_rows.can_return_rows.cache_clear()
    stored_rows._query_before.cache_clear()


@contextmanager
def receiving(signal, receiver):
    signal.connect(receiver, sender=Workshop)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=Workshop)


@pytest.fixture
def workshop(organization, listen):
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    listen(WorkshopSource, Workshop)
    return workshop


@pytest.fixture
def trigger():
    """Have the database change each row after its UPDATE."""
    execute(TRIGGERS[connection.vendor])
    forget_tables()
    yield
    execute(NO_TRIGGERS[connection.vendor])
    forget_tables()


def data_of(recorded):
    # An object that moves has an event for the organization that it leaves first.
    *_removed, event = recorded()
    return event["data"]


def test_an_event_has_the_value_as_the_column_stores_it(workshop, recorded):
    workshop.seats = "12"
    workshop.save()

    assert data_of(recorded)["seats"] == 12


def test_an_event_has_the_values_of_the_organization_that_the_save_set(workshop, recorded):
    other = OrganizationFactory(name="Harbor Academy")
    WebhookFactory(organization=other, events=["workshop.*"])

    workshop.organization = other
    workshop.save()

    assert data_of(recorded)["organization"]["name"] == "Harbor Academy"


@pytest.mark.usefixtures("trigger")
def test_an_event_has_the_value_that_a_trigger_sets_after_the_update(workshop, recorded):
    workshop.title = "Mob programming"
    workshop.save()

    assert (data_of(recorded)["title"], data_of(recorded)["seats"]) == ("Mob programming", 99)


@pytest.mark.parametrize(
    "signal, hosts_first", [(pre_save, True), (pre_save, False), (post_save, True)], ids=["early", "late", "after"]
)
def test_an_event_has_the_values_that_a_receiver_of_the_host_writes(
    organization, listen, recorded, signal, hosts_first
):
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")

    def write(**_kwargs):
        # As raw as can be: capture sees nothing of it.
        uncaptured.update(models.QuerySet(type(organization)).filter(pk=organization.pk), name="Harbor Academy")
        uncaptured.update(models.QuerySet(Workshop).filter(pk=workshop.pk), seats=99)

    with ExitStack() as stack:
        connect = [lambda: listen(WorkshopSource, Workshop), lambda: stack.enter_context(receiving(signal, write))]
        for one in reversed(connect) if hosts_first else connect:
            one()
        workshop.title = "Mob programming"
        workshop.save(update_fields=["title"])

    data = data_of(recorded)
    assert (data["title"], data["seats"]) == ("Mob programming", 99)
    assert data["organization"]["name"] == "Harbor Academy"


def test_a_save_that_fails_leaves_the_connection_as_it_was(workshop):
    workshop.title = None

    with pytest.raises(IntegrityError):
        workshop.save()

    assert connection.execute_wrappers == []


def test_a_saved_object_of_an_extending_model_is_read(organization, listen, recorded):
    onsite = OnsiteWorkshop.objects.create(organization=organization, title="Pair programming")
    listen(WorkshopSource, Workshop)

    onsite.title = "Mob programming"
    onsite.save()

    assert data_of(recorded)["title"] == "Mob programming"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a query that waits for a lock sees two states here only")
@pytest.mark.parametrize("moves", [True, False])
def test_an_event_after_a_wait_for_another_transaction_has_its_values(workshop, organization, recorded, moves):
    owner = OrganizationFactory(name="Harbor Academy") if moves else organization
    WebhookFactory(organization=owner, events=["workshop.*"])
    written = threading.Event()

    def first():
        with transaction.atomic():
            uncaptured.update(models.QuerySet(Workshop).filter(pk=workshop.pk), organization=owner, seats=99)
            uncaptured.update(models.QuerySet(type(owner)).filter(pk=owner.pk), name="Lakeside Academy")
            written.set()
            wait_until_blocking()

    def second():
        assert written.wait(PATIENCE)
        late = Workshop(pk=workshop.pk, title="Mob programming")
        late._state.adding = False
        late.save(update_fields=["title"])

    assert at_once(first, second) == []

    data = data_of(recorded)
    assert (data["title"], data["seats"]) == ("Mob programming", 99)
    assert data["organization"] == {"id": owner.pk, "external_id": owner.external_id, "name": "Lakeside Academy"}
