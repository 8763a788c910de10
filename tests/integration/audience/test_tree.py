"""The tree of organizations has any depth, may be mended while events wait, and may even be a ring."""

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from example_project.training.models import Organization
from tests.integration.audience.world import listening, told_to
from tms_webhooks.models import audience
from tms_webhooks.outbox.fanout import fan_out

DEPTH = 30


@pytest.fixture
def chain():
    """Organizations each of which is the parent of the next."""
    found = [OrganizationFactory()]
    for _level in range(DEPTH):
        found.append(OrganizationFactory(parent=found[-1]))
    return found


def test_an_event_comes_up_from_any_depth(chain):
    top, middle = listening(chain[0], children=True), listening(chain[DEPTH // 2], children=True)
    beside = listening(OrganizationFactory(parent=chain[DEPTH - 1]), children=True)
    training_class = TrainingClassFactory(organization=chain[-1])

    training_class.cancel()
    fan_out(timezone.now())

    assert (told_to(top)[-1], told_to(middle)[-1], told_to(beside)) == ("class.cancelled", "class.cancelled", [])


def test_a_ring_of_organizations_hangs_nobody(chain):
    Organization.objects.filter(pk=chain[0].pk).update(parent=chain[-1])
    webhook = listening(chain[3], children=True)
    training_class = TrainingClassFactory(organization=chain[1])

    training_class.cancel()
    fan_out(timezone.now())

    assert told_to(webhook)[-1] == "class.cancelled"
    everybody = {organization.pk for organization in chain}
    assert audience.ancestors([chain[1].pk], using="default") == {chain[1].pk: everybody}
    assert audience.descendants([chain[1].pk], using="default") == everybody


def test_what_counts_is_the_tree_when_the_event_is_handed_out(chain):
    new_owner = OrganizationFactory()
    old, new = listening(chain[0], children=True), listening(new_owner, children=True)
    training_class = TrainingClassFactory(organization=chain[1])
    fan_out(timezone.now())
    already = len(told_to(old))

    training_class.cancel()
    Organization.objects.filter(pk=chain[1].pk).update(parent=new_owner)
    fan_out(timezone.now())

    assert (len(told_to(old)) - already, told_to(new)) == (0, ["class.cancelled"])


@pytest.mark.parametrize("name", ["", "no_such_field"])
def test_without_a_tree_children_are_nobodys(settings_of_app, chain, name):
    settings_of_app(ORGANIZATION_PARENT=name)
    above, own = listening(chain[0], children=True), listening(chain[1], children=True)
    training_class = TrainingClassFactory(organization=chain[1])

    training_class.cancel()
    fan_out(timezone.now())

    assert (told_to(above), told_to(own)[-1]) == ([], "class.cancelled")
    assert audience.ancestors([chain[1].pk], using="default") == {chain[1].pk: {chain[1].pk}}
