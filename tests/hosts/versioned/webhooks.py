"""The source of classes of which other packages keep old versions."""

from tests.hosts.versioned.models import RecordedCourse, RevertedCourse
from tms_webhooks import sources


@sources.register(RecordedCourse, RevertedCourse)
class Courses(sources.ClassSource):
    owner = "tenant"
    fields = {"name": "title", "status": "state", "course": "topic", "instructor_ids": "trainers"}
