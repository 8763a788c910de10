"""What a bulk change costs in statements: so many for a chunk, however many objects are in it.

Without a subscription: one. With one: whether a subscription matches, the old values, the update, the new values with all
that they refer to, the subscriptions of each organization, and the events (6). Of more rows than a chunk has, the keys are
read first, and the last five are repeated for each chunk.
"""

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import (
    OrganizationFactory,
)
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks.capture import captured_rows, replaced_methods
from tms_webhooks.models import Event, Subscription

ONCE = 1
CHUNK = 5


def queries_of(action):
    with CaptureQueriesContext(connection) as captured:
        action()
    return len(captured)


def rename():
    return Workshop.objects.update(seats=F("seats") + 1)


@pytest.fixture
def more(workshops):
    """Twenty workshops more, each of an organization of its own that listens."""

    def make():
        for number in range(20):
            organization = OrganizationFactory()
            WebhookFactory(organization=organization, events=["workshop.*"])
            Workshop.objects.create(organization=organization, title=f"More {number}")

    return make


@pytest.mark.usefixtures("workshops")
def test_a_chunk_costs_the_same_for_one_and_for_many(more):
    rename()
    few = queries_of(rename)
    more()
    rename()

    assert queries_of(rename) == few == ONCE + CHUNK
    assert Event.objects.count() == 5 + 5 + 20 + 25 + 25


@pytest.mark.usefixtures("workshops")
def test_a_full_chunk_costs_no_more():
    rename()
    few = queries_of(rename)
    organization = Workshop.objects.earliest("pk").organization
    more = replaced_methods.CHUNK - Workshop.objects.count()
    Workshop.objects.bulk_create(Workshop(organization=organization, title=f"More {number}") for number in range(more))
    rename()

    assert queries_of(rename) == few == ONCE + CHUNK


@pytest.mark.usefixtures("workshops")
def test_each_further_chunk_costs_one_chunk(monkeypatch):
    rename()
    for module in (replaced_methods, captured_rows):
        monkeypatch.setattr(module, "CHUNK", 2)

    assert queries_of(rename) == ONCE + 2 + 3 * CHUNK


@pytest.mark.parametrize("path", ["headline", "organization.__str__"])
def test_what_only_python_can_read_costs_no_more(listen, organization, path):
    class WithHeadline(WorkshopSource):
        fields = {"headline": path}

    listen(WithHeadline, Workshop)
    costs = []
    for count in (1, 10):
        for _number in range(count):
            Workshop.objects.create(organization=organization, title="W")
        rename()
        costs.append(queries_of(rename))

    assert costs[0] == costs[1]


@pytest.mark.usefixtures("workshops")
def test_new_rows_cost_the_same_for_one_and_for_many():
    organization = Workshop.objects.first().organization

    def create(count):
        rows = [Workshop(organization=organization, title="New") for _number in range(count)]
        return queries_of(lambda: Workshop.objects.bulk_create(rows))

    assert create(1) == create(20)
    assert Event.objects.count() == 21


def test_a_deletion_that_no_subscription_matches_costs_the_same_for_one_and_for_many(workshops):
    Subscription.objects.all().delete()
    one = Workshop.objects.filter(pk=workshops[0].pk)

    assert queries_of(one.delete) == queries_of(Workshop.objects.all().delete)
    assert not Workshop.objects.exists()


def test_a_deletion_asks_once_whether_a_subscription_matches(workshops):
    with CaptureQueriesContext(connection) as captured:
        Workshop.objects.filter(pk__in=[one.pk for one in workshops]).delete()

    questions = [query["sql"] for query in captured if "SELECT DISTINCT" in query["sql"]]
    assert len([sql for sql in questions if Subscription._meta.db_table in sql and "audience" not in sql]) == 1
