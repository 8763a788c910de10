"""The source of a class that is hidden instead of deleted."""

from tests.hosts.softdeleted.models import Clinic
from tms_webhooks import sources


@sources.register(Clinic)
class Clinics(sources.ClassSource):
    owner = "tenant"
    fields = {"name": "title", "status": "state", "course": "topic"}
    only = {"deleted_at": None}
