"""The webhook sources of the other host."""

from tests.hosts import models
from tms_webhooks import sources


@sources.register(models.Member)
class Members(sources.UserSource):
    owner = "tenant"
    fields = {"user_name": None, "first_name": "given_name", "last_name": None, "disabled": "locked"}


@sources.register(models.Meetup)
class Meetups(sources.ClassSource):
    owner = "tenant"
    fields = {
        "status": "state",
        "name": "title",
        "course": "topic",
        "instructor": "lead",
        "start_at": None,
        "end_at": None,
    }
    custom = {"subject": sources.Custom("topic.name", privacy="basic")}
    statuses = {"status": {"planned": "scheduled", "sure": "guaranteed to run", "off": 2}}


@sources.register(models.Place)
class Places(sources.EnrollmentSource):
    owner = "meetup.tenant"
    learner = "member.tenant"
    # Words that the training system itself uses need no dictionary.
    fields = {"status": "state", "class": "meetup", "course": "meetup.topic", "user": "member"}
