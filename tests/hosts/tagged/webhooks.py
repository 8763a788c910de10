"""The source of a class whose status is made of a boolean and a tag."""

from tests.hosts.tagged.models import TaggedClass
from tms_webhooks import sources


def status_of(*, active, words):
    """Return the name of the status."""
    if "cancelled" in words:
        return "Cancelled"
    return "Scheduled" if active else "Tentative"


@sources.register(TaggedClass)
class TaggedClasses(sources.ClassSource):
    owner = "tenant"
    fields = {
        "name": "title",
        "course": "topic",
        "status": sources.Computed(status_of, reads={"active": "is_active", "words": "tags.word"}),
    }
