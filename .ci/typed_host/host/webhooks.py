"""The sources of the host."""

from __future__ import annotations

from collections.abc import Iterable

from host.events import CERTIFICATE
from host.models import Certificate, Organization, Person, Session
from tms_webhooks import sources
from tms_webhooks.sources import AnyOtherChange, Change, Created, Custom, Filled, PlannedEvent


@sources.register(Person)
class People(sources.UserSource):
    """Users, with some fields under other names."""

    owner = sources.First("employer")
    fields = {"user_name": "username", "disabled": sources.Not("is_active"), "external_id": None}


@sources.register(Session)
class Sessions(sources.ClassSource):
    """Sessions are classes. They have no dates and no course."""

    fields = {"name": "title", "status": "state", "start_at": None, "end_at": None, "course": None, "instructor": None}
    custom = {"cost_center": Custom("cost_center", privacy="basic", doc="The cost center.")}
    statuses = {"status": {Session.State.OPEN: "Scheduled", Session.State.OFF: "Cancelled"}}

    def owner(self, session: Session) -> Organization:
        """Return the owner of a session."""
        return session.owner


def capitals(title: str) -> str:
    """Return a title in capitals."""
    return title.upper()


@sources.register(Certificate)
class Certificates(sources.Source):
    """A source of the host's own noun, with a value and an event that no rule makes."""

    noun = CERTIFICATE
    owner = "person.employer"
    owned_by_learner = True
    fields = {"user": "person", "title": sources.Computed(capitals, reads={"title": "title"})}
    rules = (
        Created("certificate.issued"),
        Filled("revoked_at", "certificate.revoked"),
        AnyOtherChange("certificate.updated"),
    )

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return the events of the rules, but none for a change of the learner."""
        if "user.id" not in change.changed:
            yield from super().events_for(change)
