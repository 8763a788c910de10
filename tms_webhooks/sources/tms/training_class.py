"""Classes. Each status has an event type; any other change is an update."""

from __future__ import annotations

from typing import ClassVar

from tms_webhooks.catalogue.types.training_class import CLASS
from tms_webhooks.choices import ClassStatus
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import AnyOtherChange, Deleted, Entered, Rule


class ClassSource(Source):
    """A scheduled class. Map ``status`` to the column that holds its confirmation status."""

    noun = CLASS
    rules: ClassVar[tuple[Rule, ...]] = (
        Entered("status", {status.value: f"class.{status.name.lower()}" for status in ClassStatus}),
        AnyOtherChange("class.updated"),
        Deleted("class.deleted"),
    )
