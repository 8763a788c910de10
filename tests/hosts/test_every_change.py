"""Any single change of the other host's objects is exactly one event: see ``tests/changes.py``."""

from functools import partial

import pytest

from tests.changes import check_all
from tests.hosts.assigned.models import Program, Proposal
from tests.hosts.models import Meetup, Member, Place, Topic
from tests.hosts.people.models import Team
from tests.hosts.routes import CHANGES
from tests.hosts.shared.models import SharedClass, SharedCourse, SharedPlace
from tests.hosts.translated.models import Attendance, Lecture
from tms_webhooks.sources.registry import sources_of

pytestmark = pytest.mark.django_db(databases="__all__")

# Each route of the host, called with the field by the name that it takes.
WAYS = {
    name: partial(
        lambda obj, field, value, name: CHANGES[name](
            obj, **{field.name if name in ("admin", "REST") else field.attname: value}
        ),
        name=name,
    )
    for name in CHANGES
}
CLASSES = ["scheduled", "cancelled", "tentative", "completed"]
PLACES = ["requested", "enrolled", "waitlisted", "denied"]
# The fixture of an object, and the words of its status.
OBJECTS = [
    ("member", ()),
    ("learner", ()),
    ("person", ()),
    ("meetup", ()),
    ("tagged", ()),
    *((name, CLASSES) for name in ("online", "clinic", "lecture", "kept_in_history", "kept_in_revisions")),
    *((name, CLASSES) for name in ("proposal", "shared_class")),
    *((name, PLACES) for name in ("place", "participant", "shared_place", "attendance")),
]


@pytest.fixture(autouse=True)
def _others(tenant):
    """Another object of each kind, for the foreign keys."""
    Member.objects.create(email="bob@example.com", given_name="Bob", tenant=tenant)
    Meetup.objects.create(tenant=tenant, topic=Topic.objects.create(name="Python"), title="Python, evenings")
    for name in ("Sales", "Support"):
        Team.objects.create(name=name)


@pytest.fixture
def person(study):
    return study.person


@pytest.fixture
def place(meetup, member):
    return Place.objects.create(meetup=meetup, member=member)


@pytest.fixture
def proposal(tenant, topic):
    return Proposal.objects.create(program=Program.objects.create(tenant=tenant), topic=topic, title="Azure")


@pytest.fixture
def shared_class(tenant):
    found = []
    for name in ("Azure", "Python"):
        course = SharedCourse.objects.create(name=name)
        course.tenants.add(tenant)
        found.append(SharedClass.objects.create(course=course, title=name))
    return found[0]


@pytest.fixture
def shared_place(shared_class, member):
    return SharedPlace.objects.create(shared_class=shared_class, member=member)


@pytest.fixture
def attendance(lecture, member):
    Lecture.objects.create(tenant=lecture.tenant, topic=lecture.topic, titles={"en": "Python"})
    return Attendance.objects.create(lecture=lecture, member=member)


@pytest.mark.parametrize("name, states", OBJECTS)
def test_of_an_object(name, states, request):
    obj = request.getfixturevalue(name)
    (source,) = sources_of(type(obj))

    check_all(source, obj, WAYS, **({"state": states} if states else {}))
