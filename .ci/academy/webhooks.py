"""The sources of the host."""

from __future__ import annotations

from academy.models import Session
from tms_webhooks import sources


@sources.register(Session)
class Sessions(sources.ClassSource):
    """Sessions are classes."""

    owner = "customer"
    fields = {"start_at": None, "end_at": None}
