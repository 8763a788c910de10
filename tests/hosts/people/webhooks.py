"""The sources of learners that extend an account, and of persons that are students."""

from tests.hosts.people.models import Learner, Person
from tms_webhooks import sources

NAMED = {"user_name": "name", "first_name": None, "last_name": None, "email": None, "disabled": None}


@sources.register(Learner)
class Learners(sources.UserSource):
    owner = "tenant"
    fields = {**NAMED, "role_ids": "teams"}


@sources.register(Person)
class Students(sources.UserSource):
    owner = "tenant"
    fields = NAMED
    only = {"study.kind": ["student", "guest"]}
