"""Ways to declare sources, alone, and to compare what the checks report with what is expected."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import models

from example_project.training.models import ClassEnrollment, CourseAssignment, LearningPath, TrainingClass, User
from tests.catalogue import only_canonical
from tests.claims import ROOT
from tests.testapp.models import Lesson
from tms_webhooks import sources
from tms_webhooks.checks import sources as source_checks
from tms_webhooks.checks.messages import PREFIX
from tms_webhooks.sources import (
    ClassSource,
    Constant,
    CourseAssignmentSource,
    EnrollmentSource,
    Source,
    UserSource,
    registry,
)

PAGES = ROOT / "docs" / "reference" / "sources"
NULLS = "W092"
"""The warning that most declarations of a table get, and that a row is compared without unless it expects it."""


def ids(messages):
    """Return the ids without their prefix; each message must have a remedy."""
    found = list(messages)
    assert all(message.hint and str(message.hint).strip() for message in found)
    return [str(message.id).removeprefix(f"{PREFIX}.") for message in found]


def only(messages, number):
    """Return the only message there is, which must have this id."""
    (message,) = messages
    assert ids([message]) == [number], message.msg
    return message


@dataclass(frozen=True)
class Declared:
    """A source class as a host writes it; calling it adds attributes, and entries to ``fields``."""

    base: type[Source]
    model: type[models.Model]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, model=None, **attributes):
        merged = {**self.attributes, **attributes}
        if isinstance(attributes.get("fields"), dict):
            merged["fields"] = {**self.attributes.get("fields", {}), **attributes["fields"]}
        return Declared(self.base, model or self.model, merged)

    def register(self):
        registry.register(self.model)(type(f"Host{self.base.__name__}", (self.base,), self.attributes))
        return registry.all_sources()[-1]


classes = Declared(ClassSource, TrainingClass, {"fields": {"status": "confirmation_status_id"}})
paths_as_classes = Declared(ClassSource, LearningPath, {"fields": {"status": "audience_level", "course.id": "pk"}})
lessons = Declared(ClassSource, Lesson, {"owner": "host", "fields": {"status": Constant("Scheduled"), "name": "title"}})
users = Declared(UserSource, User)
enrollments = Declared(
    EnrollmentSource,
    ClassEnrollment,
    {"fields": {"status": "enrollment_status_id", "completion_status": "completion_status_id"}},
)
lesson_enrollments = Declared(
    EnrollmentSource,
    Lesson,
    {
        "owner": "host",
        "learner": None,
        "fields": {"user": "learner", "class": "series", "status": Constant("Enroll")},
    },
)
assignments = Declared(CourseAssignmentSource, CourseAssignment)


def expect(messages, *patterns):
    """Compare messages with patterns such as "E031: its text -> its hint". Three dots stand for any text."""
    found = [f"{number}: {one.msg} -> {one.hint}" for one in messages for number in ids([one])]
    for text, pattern in zip(found, patterns, strict=False):
        whole = pattern if " -> " in pattern else f"{pattern} -> ..." if ": " in pattern else f"{pattern}: ..."
        assert re.fullmatch(".*".join(map(re.escape, whole.split("..."))), text, re.DOTALL), (text, whole)
    assert len(found) == len(patterns), found


def report(*declared):
    """Register sources, and return what the checks report, without the reference that ends each hint."""
    for one in declared:
        one.register()
    messages = list(source_checks.check_sources())
    for message in messages:
        nearest = next(one for one in type(message.obj).__mro__ if one in vars(sources).values())
        page = nearest.noun.name if hasattr(nearest, "noun") else "index"
        assert (PAGES / f"{page}.md").read_text(encoding="utf-8").count(f"\n## {nearest.__name__}\n") == 1
        reference = f"\n\tSee {nearest.__name__} in docs/reference/sources/{page}.md."
        assert str(message.hint).endswith(reference), message.hint
        message.hint = str(message.hint).removesuffix(reference)
    return messages


def expect_of(declared, *patterns):
    """Compare what the checks report of declarations with patterns."""
    messages = report(*(declared if isinstance(declared, list) else [declared]))
    expects_nulls = any(pattern.startswith(NULLS) for pattern in patterns)
    expect([one for one in messages if expects_nulls or one.id != f"{PREFIX}.{NULLS}"], *patterns)


@pytest.fixture
def no_sources(monkeypatch):
    """Leave the example project's sources out, and the fields that they add to the catalogue."""
    monkeypatch.setattr(registry, "_sources", {})
    with only_canonical():
        yield


@pytest.fixture
def declare(no_sources):
    """Declare a source of one model and bind it: attributes by keyword, as a host writes them into the class."""
    return lambda base, model, **attributes: Declared(base, model, attributes).register()
