"""Keeps the last recorded state of each object with its events, for sources that are reconciled; a no-op for others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.models import SourceState
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source

Values = Mapping[str, Any]


def keep(source: Source, key: Any, *, before: Values | None, after: Values, using: str) -> None:
    """Keep the state of one object ``after`` a change; ``before`` is None for a new object."""
    if source.reconcile and not source.includes(after):
        forget(source, [key], using=using)
    elif source.reconcile:
        text = None if before is None else states.state_text(source, before)
        line = states.object_state(source, key, after)
        if states.leads_elsewhere(source, before, after):
            SourceState.objects.record_all(source.name, [(text, line, True)], now=timezone.now(), using=using)
        elif line.state != text:
            SourceState.objects.record(source.name, line, before=text, now=timezone.now(), using=using)


def keep_all(
    source: Source, changes: Mapping[Any, tuple[Values | None, Values]], *, using: str, related: bool = False
) -> None:
    """Keep the states of many objects, each with its values before (None for a new object) and after a change.

    ``related`` says that values of related rows changed, not of the objects' own rows.
    """
    if source.reconcile and changes:
        lines = [
            (
                None if before is None else states.state_text(source, before),
                states.object_state(source, key, after),
                related or states.leads_elsewhere(source, before, after),
            )
            for key, (before, after) in changes.items()
            if source.includes(after)
        ]
        forget(source, [key for key, (_before, after) in changes.items() if not source.includes(after)], using=using)
        SourceState.objects.record_all(source.name, lines, now=timezone.now(), using=using)


def forget(source: Source, keys: Collection[Any], *, using: str) -> None:
    """Delete the states of objects that are deleted."""
    if source.reconcile and keys:
        SourceState.objects.forget(source.name, [states.key_text(key) for key in keys], using=using)
