"""User accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import AnyOtherChange, Change, Created, Deleted, Entered, Filled, PlannedEvent, Rule

CLOSED = "user.closed"


class UserSource(Source):
    """A user's account. A sign-in changes no field of the payload, so it emits no event.

    When an account is closed permanently (``closed_at`` is set), no event quotes the old personal values. A host that
    deletes merged accounts calls ``emit("user.merged", account, extra={"merged_into.id": …})`` before the deletion.
    """

    noun = USER
    owned_by_learner = True
    fields = {"user_name": "username"}
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("user.created"),
        Entered("disabled", {True: "user.deactivated", False: "user.activated"}, on_creation=False),
        Filled("closed_at", CLOSED, optional=True),
        Filled("merged_into.id", "user.merged", optional=True),
        Deleted("user.deleted"),
        AnyOtherChange("user.updated"),
    )

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return the events of ``change``, without old personal values if it closes the account."""
        events = list(super().events_for(change))
        is_closed = any(event.event_type == CLOSED for event in events)
        for event in events:
            event.omit_personal = is_closed
        return events
