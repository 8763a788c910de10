"""People's accounts."""

from __future__ import annotations

from collections.abc import Iterable

from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.sources.base import PlannedEvent, Source
from tms_webhooks.sources.rules import Change, Changed, Created, Deleted, Entered, Filled

CLOSED = "user.closed"


class UserSource(Source):
    """A user's record. A sign-in changes no field that is sent, and so tells nothing.

    Of an account that is closed for good (``closed_at`` gets set) no event quotes who it was. A host that deletes what
    it merges says so with ``emit("user.merged", gone, extra={"merged_into.id": …})`` before it deletes.
    """

    noun = USER
    owned_by_learner = True
    fields = {"user_name": "username"}
    rules = (
        Created("user.created"),
        Changed("user.updated"),
        Entered("disabled", {True: "user.deactivated"}),
        Filled("closed_at", CLOSED, optional=True),
        Filled("merged_into.id", "user.merged", optional=True),
        Deleted("user.deleted"),
    )

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Leave out who it was where the account is closed by this change."""
        told = list(super().events_for(change))
        forgetting = any(one.event_type == CLOSED for one in told)
        for one in told:
            one.forgetting = forgetting
        return told
