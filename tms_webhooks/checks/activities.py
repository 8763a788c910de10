"""Checks of the rows by which a learner moves on in an assigned course."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.tms import ActivityProgressSource


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield what keeps a source of activities from reading the assignment that it tells of."""
    if not isinstance(source, ActivityProgressSource) or source.read_by is not None:
        return
    model = source.assigned_model
    if model is None:
        problem = f"which is no foreign key of {source.model._meta.label}"
    elif model is source.model:
        problem = "which leads round to the same model"
    else:
        problem = f"and {model._meta.label} is registered for no CourseAssignmentSource"
    yield message(
        "E057",
        f"assignment is {source.assignment!r}, {problem}.",
        hint="Write the path of foreign keys to your course assignments, and register their model with a "
        "CourseAssignmentSource.",
        obj=source,
    )
