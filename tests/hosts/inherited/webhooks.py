"""The source of a class, and of a class that extends it."""

from tests.hosts.inherited.models import Training
from tms_webhooks import sources


@sources.register(Training)
class Trainings(sources.ClassSource):
    owner = "tenant"
    fields = {
        "name": "title",
        "status": "state",
        "course": "topic",
        "instructor_ids": "trainers",
        "max_students": "onlinetraining.seats",
        "classroom.name": "onlinetraining.meeting",
    }
