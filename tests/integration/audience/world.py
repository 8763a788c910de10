"""Organizations around one enrollment, and who of them hears of it.

headquarters            group            stranger
├── academy (the class)  └── globex (the learner)
│   └── branch               └── office
└── sister
"""

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from tests.factories import WebhookFactory
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.models import Delivery

BELOW = {
    "academy": "headquarters",
    "branch": "academy",
    "sister": "headquarters",
    "globex": "group",
    "office": "globex",
}
NAMES = ("headquarters", "academy", "branch", "sister", "group", "globex", "office", "stranger")


def organizations():
    found = {}
    for name in NAMES:
        found[name] = OrganizationFactory(name=name, parent=found.get(BELOW.get(name, "")))
    return found


def enrolled(owner, learners, **values):
    """Enroll a learner of one organization in a class of another."""
    return ClassEnrollmentFactory(
        training_class=TrainingClassFactory(organization=owner), user=UserFactory(organization=learners), **values
    )


def listening(organization, audience="owner", *, children=False, **values):
    return WebhookFactory(
        organization=organization, audience=audience, include_children=children, **{"events": ["*"], **values}
    )


def told_to(webhook):
    """Return the types of the events that a webhook got, in their order; without those of organizations and courses."""
    deliveries = Delivery.objects.filter(webhook=webhook).order_by("event_id")
    deliveries = deliveries.exclude(event__subject_type__in=("organization", "course"))
    return list(deliveries.values_list("event__type", flat=True))


def missed_by(webhook):
    """Return the types of the events that a replay of what was missed would send."""
    since = webhook.created_at.replace(year=2000)
    events = replay.affected(JobKind.REPLAY_MISSED, webhook, since=since, until=None)
    return list(events.order_by("pk").values_list("type", flat=True))
