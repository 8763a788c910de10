"""Sources for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import models

from tms_webhooks.catalogue import custom
from tms_webhooks.sources import Source, registry


@contextmanager
def temporarily(source_class: type[Source], model: type[models.Model]) -> Iterator[Source]:
    """Register a source for the length of a ``with`` block. It is not connected to the model's signals."""
    before = {one: list(sources) for one, sources in registry._sources.items()}
    registry._add(source_class, model)
    source = registry._sources[model][-1]
    try:
        yield source
    finally:
        custom.remove(source.noun.name, source)
        # The same dictionary: each source looks up others in it.
        registry._sources.clear()
        registry._sources.update(before)
