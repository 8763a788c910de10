"""The source of enrollments in a table of roles."""

from tests.hosts.roles.models import Participation
from tms_webhooks import sources


@sources.register(Participation)
class Learners(sources.EnrollmentSource):
    owner = "meetup.tenant"
    learner = "member.tenant"
    only = {"role": "learner"}
    fields = {"status": "state", "class": "meetup", "course": "meetup.topic", "user": "member"}
