"""The catalogue of event types as tests want it: with other types for a while, or without the example project's fields."""

from contextlib import contextmanager

from tms_webhooks import event_names
from tms_webhooks.catalogue import custom, registry


@contextmanager
def temporary_type(event_type):
    """Register an event type for the length of a ``with`` block."""
    before = dict(registry._event_types)
    registry.register(event_type)
    try:
        yield event_type
    finally:
        for name in registry._event_types:
            event_names.discard(name)
        registry._event_types.clear()
        # In their order: a type that was added has moved the one of its noun's snapshot.
        for one in before.values():
            registry._add(one)


@contextmanager
def only_canonical():
    """Leave the fields of all current sources out inside the block: the catalogue is that of the package."""
    present = dict(custom._owners)
    custom._owners.clear()
    custom.forget_results()
    try:
        yield
    finally:
        custom._owners.clear()
        custom._owners.update(present)
        custom.forget_results()
