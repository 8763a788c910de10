"""The one check of the sources that a host declares in ``webhooks.py``: it collects the mistakes in each.

Others are about their databases, and about the samples of the host's own fields and event types. Documents and the preview
of a webhook show these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage
from django.db import router

from tms_webhooks import catalogue
from tms_webhooks.catalogue.samples import sample_value
from tms_webhooks.catalogue.schema import field_schema
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.checks import events, models, paths, statuses, values
from tms_webhooks.checks.forms import misspelled, wrong_forms
from tms_webhooks.checks.messages import message, message_of, shorten
from tms_webhooks.exceptions import DeclarationError, PayloadError
from tms_webhooks.models import Event
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources

PARTS = (models.check, misspelled, paths.check, values.check, statuses.check, events.check)


def check_sources(**_kwargs: Any) -> list[CheckMessage]:
    """Report the mistakes in all sources."""
    sources = all_sources()
    if not sources:
        return [
            message(
                "I053",
                "No model is registered as a source: only `emit` creates events.",
                hint="Register your models in the module `webhooks.py` of an app in INSTALLED_APPS.",
            )
        ]
    malformed = {source: wrong_forms(source) for source in sources}
    are_sound = not any(malformed.values())
    return [
        message_of(problem, source)
        for source, problems in malformed.items()
        for problem in problems or _problems(source, is_sure=are_sound)
    ]


def _problems(source: Source, *, is_sure: bool) -> Iterator[DeclarationError]:
    """Yield the mistakes in a source whose attributes have the right form.

    It reads other sources, too. While one of these has a wrong form, any error may be a consequence of that.
    """
    for part in PARTS:
        try:
            yield from part(source)
        except Exception:
            if is_sure:
                raise


def check_databases(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of models in another database than their events."""
    outbox = router.db_for_write(Event)
    aliases = {source.model: router.db_for_write(source.model) for source in all_sources()}
    return [
        message(
            "W052",
            f"{model._meta.label} is written to the database {alias!r}, but events are sent from {outbox!r}: no event of "
            "this model is sent.",
            hint=f"Let your router send tms_webhooks to {alias!r} too, or unregister this model and call `emit`.",
            obj=model,
        )
        for model, alias in aliases.items()
        if alias != outbox
    ]


def check_samples(**_kwargs: Any) -> list[CheckMessage]:
    """Report samples that break the schemas of the host's own fields and event types."""
    return [*_of_fields(), *_of_events()]


def _of_fields() -> Iterator[CheckMessage]:
    for source in all_sources():
        for one in source.declared.fields:
            usual = sample_value(one.field)
            if one.sample == usual:
                continue
            # Imported here: few projects declare samples, and all import this module.
            from jsonschema import Draft202012Validator

            if not Draft202012Validator(field_schema(one.field, nullable=True)).is_valid(one.sample):
                yield message(
                    "E080",
                    f"custom[{one.name!r}] has the sample {shorten(one.sample)}, which is no {one.field.kind}.",
                    hint=f"Write a value as it is in the payload, such as {usual!r}.",
                    obj=source,
                )


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
