"""Sources for the length of a test."""

from contextlib import contextmanager

from django.db.models.signals import m2m_changed, post_delete, pre_delete

from tms_webhooks.capture import receivers, replaced_methods, saves
from tms_webhooks.capture.many_to_many import sources_by_rows
from tms_webhooks.catalogue import custom
from tms_webhooks.sources import registry


@contextmanager
def temporarily(source_class, model):
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


def disconnect(source):
    """Have changes of a source's rows be captured no more; other sources stay connected."""
    for signal in (m2m_changed, post_delete, pre_delete):
        signal.receivers = [one for one in signal.receivers if not str(one[0][0]).startswith("tms_webhooks:")]
        signal.sender_receivers_cache.clear()
    replaced_methods.captured_models.clear()
    sources_by_rows.clear()
    saves.plan_of.cache_clear()
    for other in registry.all_sources():
        if other is not source:
            receivers.connect(other)
