"""A class has its first event when it has an organization, with its state then; what came before is not lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.hosts.assigned.models import Program, Proposal
from tests.hosts.routes import CHANGES, DELETIONS
from tests.outbox import prune_events
from tms_webhooks import reconciliation
from tms_webhooks.models import OwnerlessObject


@pytest.fixture
def proposal(tenant, topic):
    return Proposal.objects.create(topic=topic, title="Azure")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changes_before_that_show_in_its_first_event(change, proposal, tenant, recorded):
    change(proposal, title="Renamed")
    assert recorded() == []

    change(proposal, tenant=tenant, state="scheduled")

    (event,) = recorded()
    assert (event["type"], event["data"]["name"], event["previous"]) == ("class.scheduled", "Renamed", {})


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_organization_that_another_row_gets_is_found_by_the_sweep(change, tenant, topic, recorded):
    program = Program.objects.create()
    Proposal.objects.create(topic=topic, title="Azure", program=program)

    change(program, tenant=tenant)
    assert recorded() == []
    assert reconciliation.settle_ownerless(timezone.now() + timedelta(hours=1)) == 1

    assert [event["type"] for event in recorded()] == ["class.tentative"]


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_class_that_is_deleted_before_it_has_one_is_no_event(delete, proposal, recorded):
    delete(proposal)
    reconciliation.settle_ownerless(timezone.now())

    assert recorded() == []
    assert not OwnerlessObject.objects.exists()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_class_that_loses_its_organization_leaves_it(change, proposal, tenant, recorded):
    proposal.tenant = tenant
    proposal.save()
    prune_events()

    change(proposal, tenant=None)

    (event,) = recorded()
    assert (event["type"], event["data"]["id"]) == ("class.removed", str(proposal.pk))
