"""The sources of classes whose titles stand in a second table."""

from tests.hosts.translated.models import Attendance, Lecture
from tms_webhooks import sources


@sources.register(Lecture)
class Lectures(sources.ClassSource):
    owner = "tenant"
    # The property reads the titles of all languages, as one of django-parler does.
    fields = {
        "name": sources.Computed("title", reads={"titles": "translations.title"}),
        "status": "state",
        "course": "topic",
    }


@sources.register(Attendance)
class Attendances(sources.EnrollmentSource):
    owner = "lecture.tenant"
    learner = "member.tenant"
    fields = {"class": "lecture", "course": "lecture.topic", "status": "state", "user": "member"}
