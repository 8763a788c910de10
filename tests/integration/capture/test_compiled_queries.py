"""A query that is built once gives what the ORM's own would give, for every value and in every thread."""

import uuid

import pytest
from django.db import connections
from django.db.models import Value
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.testapp.models import Ticket, Workshop
from tests.threads import at_once, several
from tms_webhooks.db.prepared import CompiledQuery, Parameter


def by(field, model):
    return {field: Parameter(model._meta.get_field(field))}


@pytest.fixture
def organization():
    return OrganizationFactory()


def test_values_come_back_as_the_models_own(organization):
    ticket = Ticket.objects.create(organization=organization, title="One seat")
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    workshop.refresh_from_db()

    tickets = CompiledQuery(Ticket.objects.filter(**by("id", Ticket)).values_list("id", "organization", "title"))
    workshops = CompiledQuery(Workshop.objects.filter(**by("title", Workshop)).values_list("updated_at", "seats"))

    assert tickets.run(ticket.pk) == [(ticket.pk, organization.pk, "One seat")]
    assert tickets.run(str(ticket.pk)) == [(ticket.pk, organization.pk, "One seat")]
    assert tickets.run(uuid.uuid4()) == []
    assert workshops.run("Pair programming") == [(workshop.updated_at, 10)]
    assert timezone.is_aware(workshops.run("Pair programming")[0][0])


def test_a_percent_sign_is_one_in_the_text_and_in_values(organization):
    Workshop.objects.create(organization=organization, title="100%s")

    workshops = Workshop.objects.filter(**by("title", Workshop)).extra(select={"sure": "'100%%'"})

    assert CompiledQuery(workshops.values_list("title", Value("50%"))).run("100%s") == [("100%s", "50%")]
    assert CompiledQuery(workshops.values_list("sure", "title")).run("100%s") == [("100%", "100%s")]


def test_a_value_that_the_field_can_not_be_is_refused(organization):
    workshops = CompiledQuery(Workshop.objects.filter(**by("seats", Workshop)).values_list("title"))

    with pytest.raises(ValueError, match="expected a number"):
        workshops.run("many")


@several
@pytest.mark.django_db(transaction=True)
def test_threads_share_a_query_and_no_connection(organization):
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    workshop.refresh_from_db()
    workshops = CompiledQuery(Workshop.objects.filter(**by("title", Workshop)).values_list("updated_at"))
    asked = []

    def ask():
        rows = workshops.run(workshop.title)
        asked.append((rows, workshops._local.connection is connections["default"]))

    ask()
    assert at_once(ask, ask) == []
    ask()

    assert asked == [([(workshop.updated_at,)], True)] * 4
