"""Checks of sources that record a learner's progress in an assigned course."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.tms import ActivityProgressSource


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the path from an activity to its course assignment."""
    if not isinstance(source, ActivityProgressSource) or source.assignment_source is not None:
        return
    model = source.assigned_model
    if model is None:
        problem = f"which is not a foreign key of {source.model._meta.label}"
    elif model is source.model:
        problem = "which leads back to the same model"
    else:
        problem = f"but {model._meta.label} is not registered with a CourseAssignmentSource"
    yield message(
        "E057",
        f"assignment is {source.assignment!r}, {problem}.",
        hint="Write the path of foreign keys to your course assignments, and register their model with a "
        "CourseAssignmentSource.",
        obj=source,
    )
