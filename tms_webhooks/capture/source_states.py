"""Remembering what was told, with the event that tells it: for sources that are reconciled."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.models import SourceState
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source

Raw = Mapping[str, Any]


def keep(source: Source, key: Any, *, before: Raw | None, after: Raw, using: str) -> None:
    """Remember one object as it is ``after`` a change."""
    if source.reconcile:
        text = None if before is None else states.state_text(source, before)
        line = states.object_state(source, key, after)
        if line.state != text:
            SourceState.objects.record(source.name, line, before=text, now=timezone.now(), using=using)


def keep_all(
    source: Source, changes: Mapping[Any, tuple[Raw | None, Raw]], *, using: str, related: bool = False
) -> None:
    """Remember many, each as it was before (None if it was not there) and is after.

    ``related``: the change was one of related rows, not of the objects' own rows.
    """
    if source.reconcile and changes:
        lines = [
            (None if before is None else states.state_text(source, before), states.object_state(source, key, after))
            for key, (before, after) in changes.items()
        ]
        SourceState.objects.record_all(source.name, lines, now=timezone.now(), using=using, related=related)


def forget(source: Source, keys: Collection[Any], *, using: str) -> None:
    """Remember nothing of objects whose end was told, or that nobody wanted to be told of."""
    if source.reconcile and keys:
        SourceState.objects.forget(source.name, [states.key_text(key) for key in keys], using=using)
