"""People's accounts."""

from __future__ import annotations

from tms_webhooks.catalogue.types.user import USER
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Changed, Created, Deleted, Entered


class UserSource(Source):
    """A user's record. A sign-in changes no field that is sent, and so tells nothing."""

    noun = USER
    fields = {"user_name": "username"}
    rules = (
        Created("user.created"),
        Changed("user.updated"),
        Entered("disabled", {True: "user.deactivated"}),
        Deleted("user.deleted"),
    )
