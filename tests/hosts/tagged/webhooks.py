"""The source of a class whose status is made of a boolean and a tag."""

from __future__ import annotations

from typing import Any

from tests.hosts.tagged.models import TaggedClass
from tms_webhooks import sources


@sources.register(TaggedClass)
class TaggedClasses(sources.ClassSource):
    owner = "tenant"
    fields = {"name": "title", "course": "topic"}
    reads = {"active": "is_active", "words": "tags.word"}

    def derived(self, values: dict[str, Any]) -> dict[str, Any]:
        if "cancelled" in values["words"]:
            return {"status": "Cancelled"}
        return {"status": "Scheduled" if values["active"] else "Tentative"}

    def supplies(self) -> list[str]:
        return ["status"]
