"""The sources of classes that several organizations own."""

from tests.hosts.shared.models import SharedClass, SharedPlace
from tms_webhooks import sources


@sources.register(SharedClass)
class SharedClasses(sources.ClassSource):
    owner = "course.tenants"
    fields = {"name": "title", "status": "state"}


@sources.register(SharedPlace)
class SharedPlaces(sources.EnrollmentSource):
    owner = "shared_class.course.tenants"
    learner = "member.tenant"
    fields = {"status": "state", "class": "shared_class", "course": "shared_class.course", "user": "member"}
