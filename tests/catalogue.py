"""The catalogue of event types as tests want it: with other types for a while, or without the example project's fields."""

from contextlib import contextmanager

from tms_webhooks import event_names
from tms_webhooks.catalogue import custom, registry
from tms_webhooks.payloads.formats.shape import is_included


def object_fields(event_type, detail="full"):
    """Return the names of the fields of an event type's object, as a snapshot of its noun has them."""
    snapshot = (
        registry.get(event_names.snapshot_of(event_type.noun.name)) if event_type.noun.name != "webhook" else None
    )
    fields = event_type.noun.fields if snapshot is None else snapshot.fields
    return {field.name for field in fields if is_included(field, detail)}


def data_fields(event, detail="full"):
    """Return the dotted names of all that an event has in ``data``, down to the fields of its object.

    A reference to no object may be null as a whole: it counts as one whose fields are all null.
    """
    known = {field.name for field in registry.get(event["type"]).fields if is_included(field, detail)}

    def names(nested, prefix=""):
        for key, value in nested.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and name not in known:
                yield from names(value, f"{name}.")
            elif value is None and name not in known:
                yield from (one for one in known if one.startswith(f"{name}."))
            else:
                yield name

    return set(names(event["data"]))


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
