"""Feedback on a class or on a course."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tms_webhooks.catalogue.schema import Noun
from tms_webhooks.catalogue.types.feedback import FEEDBACK
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Change, Rule


@dataclass(frozen=True)
class _Given(Rule):
    """Feedback is created: on a class if it refers to one, otherwise on a course."""

    reads_deletions = False

    on_class: str
    on_course: str

    @property
    def event_types(self) -> tuple[str, ...]:
        return (self.on_class, self.on_course)

    def needs(self, event_type: str) -> tuple[str, ...]:
        return ("class.id",) if event_type == self.on_class else ()

    def describe(self, event_type: str, noun: Noun) -> str:
        return f"Feedback on a {'class' if event_type == self.on_class else 'course'} is created."

    def read(self, change: Change) -> str | None:
        if not change.created:
            return None
        return self.on_course if change.after.get("class.id") is None else self.on_class


class FeedbackSource(Source):
    """Feedback of a learner. One model may hold feedback on classes and on courses."""

    noun = FEEDBACK
    owner: ClassVar[Any] = "course.organization"
    fields = {"class": "class_enrollment.training_class", "enrollment": "class_enrollment"}
    rules: ClassVar[tuple[Rule, ...]] = (_Given("class_feedback.created", "course_feedback.created"),)
