"""Values of other rows that no event of an object reports: a copy keeps the old ones, and is equal. A page lists them."""

import re
from pathlib import Path

import pytest

from example_project.training.factories import (
    ActivityFactory,
    CourseFactory,
    CourseFeedbackFactory,
    DepartmentFactory,
    RoleFactory,
    SubscriptionAssignmentFactory,
    TrainingClassFactory,
    UserAchievementFactory,
    UserFactory,
)
from tests.factories import WebhookFactory
from tests.integration.snapshot.test_mirror import Mirror
from tests.integration.snapshot.test_paths import World
from tms_webhooks import catalogue
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.digests import own_fields
from tms_webhooks.sources.registry import sources_of_noun
from tms_webhooks.sources.states import SAVE_TIMESTAMPS

NOTHING = set(), set(), set()


PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "changes.md"
ROW = re.compile(r"^\| ([a-z ]+) \| (`.*?`) \|", re.MULTILINE)
FIELDS = {
    one.noun.name: {field.name for field in one.noun.fields}
    for one in catalogue.all_types()
    if sources_of_noun(one.noun.name)
}
"""The names of the fields of each noun with objects."""


def noun_of(reference):
    """Return the noun of a nested object, or of those in a list."""
    return NOUN_OF_REFERENCE.get(reference, reference)


def is_elsewhere(field):
    """Return whether an object with events has the value of a field of a nested object, or all of a list's."""
    parent, _, leaf = field.name.rpartition(".")
    if field.items:
        return {item.name for item in field.items} <= FIELDS.get(noun_of(field.name.removesuffix("s")), set())
    return leaf in FIELDS.get(noun_of(parent), ())


def test_the_page_lists_them_and_no_others():
    found = set()
    for noun in FIELDS:
        available = set().union(*(source.available for source in sources_of_noun(noun)))
        own = {field.name for field in own_fields(noun)} | SAVE_TIMESTAMPS
        for field in custom.fields_of(noun) + sources_of_noun(noun)[0].noun.fields:
            is_count = field.name.endswith("_count")
            if field.name in available - own and not is_count and not is_elsewhere(field):
                found.add((noun.replace("_", " "), field.name))

    text = PAGE.read_text(encoding="utf-8").partition("## Shown values without events")[2].partition("\n## ")[0]
    listed = [(noun, name) for noun, names in ROW.findall(text) for name in re.findall("`(.+?)`", names)]
    assert sorted(listed) == sorted(found)


# Their change


def a_requester(organization):
    user = UserFactory(organization=organization)
    TrainingClassFactory(organization=organization, requested_by=user)
    return user, "email"


def an_activity(organization):
    activity = ActivityFactory(course__organization=organization)
    CourseFeedbackFactory(course_assignment__course=activity.course, activity=activity)
    return activity, "name"


def a_profile(organization):
    one = SubscriptionAssignmentFactory(user__organization=organization, profile__organization=organization)
    return one.profile, "name"


def a_role(organization):
    role = RoleFactory(name="Student")
    UserFactory(organization=organization).roles.add(role)
    return role, "name"


def a_department(organization):
    department = DepartmentFactory(organization=organization)
    UserFactory(organization=organization, department=department)
    return department, "name"


def a_path(organization):
    world = World(organization)
    path = world.path(CourseFactory(organization=organization))
    world.complete(world.learner(), path.courses.get())
    return path, "name"


def an_achievement(organization):
    return UserAchievementFactory(user__organization=organization).achievement, "name"


MAKERS = {
    a_requester: "class",
    an_activity: "feedback",
    a_profile: "subscription",
    a_role: "user",
    a_department: "user",
    a_path: "learning_path",
    an_achievement: "achievement",
}


@pytest.mark.parametrize(("make", "noun"), MAKERS.items())
def test_their_change_is_no_event_and_no_difference(client, organization, deliver_to, make, noun):
    other, field = make(organization)
    webhook = WebhookFactory(organization=organization, events=[f"{noun}.*"])
    mirror = Mirror(client, webhook, noun)
    mirror.ask_for()
    deliver_to(mirror)
    rows = dict(mirror.rows)
    assert getattr(other, field) in str(rows)

    setattr(other, field, "renamed@example.com")
    other.save()
    deliver_to(mirror)

    assert mirror.rows == rows != {}
    assert mirror.compare() == NOTHING
