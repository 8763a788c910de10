"""The samples of the host's own fields and event types, which documents and the preview of a webhook show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage

from tms_webhooks import catalogue
from tms_webhooks.catalogue.samples import sample_value
from tms_webhooks.catalogue.schema import Field, field_schema
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.checks.messages import message, shorten
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.registry import all_sources


def check_samples(**_kwargs: Any) -> list[CheckMessage]:
    """Report samples that break the schemas of the host's own fields and event types."""
    return [*_of_fields(), *_of_events()]


def _of_fields() -> Iterator[CheckMessage]:
    for source in all_sources():
        for one in source.declared.fields:
            usual = sample_value(one.field)
            if one.sample != usual and not _is_valid(one.sample, one.field):
                yield message(
                    "E080",
                    f"custom[{one.name!r}] has the sample {shorten(one.sample)}, which is no {one.field.kind}.",
                    hint=f"Write a value as it is in the payload, such as {usual!r}.",
                    obj=source,
                )


def _is_valid(sample: Any, field: Field) -> bool:
    # Imported here: few projects declare samples, and all import this module.
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(field_schema(field, nullable=True)).is_valid(sample))


def _of_events() -> Iterator[CheckMessage]:
    for event_type in catalogue.all_types():
        if event_type in BUILT_IN or event_type.is_snapshot:
            continue
        try:
            event_type.validate(event_type.example())
        except PayloadError as error:
            yield message(
                "W084",
                f"The sample of the event type {event_type.name!r} breaks its schema: {str(error).partition(': ')[2]}",
                hint="Correct `sample` and `sample_previous`, or leave them out to get values made from the fields.",
            )
