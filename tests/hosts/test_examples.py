"""Examples of events about this host's objects can occur, too: see ``tests/examples.py``."""

from datetime import UTC, datetime

import pytest

from tests.examples import check_example, states_named
from tests.hosts.models import Meetup, Member, Place
from tests.hosts.tagged.models import TaggedClass
from tms_webhooks.event_names import is_move
from tms_webhooks.models import Webhook
from tms_webhooks.sources.registry import sources_of

pytestmark = pytest.mark.django_db(databases="__all__")

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)


@pytest.fixture
def objects(meetup, member, tenant, topic):
    place = Place.objects.create(meetup=meetup, member=member)
    tagged = TaggedClass.objects.create(tenant=tenant, topic=topic, title="Azure")
    return {type(one): one for one in (meetup, member, place, tagged)}


NAMED = [
    (model, name)
    for model in (Meetup, Member, Place, TaggedClass)
    for name in sources_of(model)[0].event_types
    # They follow from organizations, not from the state of the object.
    if not is_move(name)
]


@pytest.mark.parametrize("model, name", NAMED)
def test_in_each_state_of_the_object(model, name, objects):
    (source,), subject = sources_of(model), objects[model]
    for columns in states_named(source, now=NOW):
        model._base_manager.filter(pk=subject.pk).update(**columns)
        check_example(Webhook.objects.get(), source, subject, name, now=NOW)
