"""Writes that capture does not see, as raw SQL of the host would be: Django's own methods of a queryset."""

from unittest.mock import patch

from django.db.models import QuerySet


def update(rows, **values):
    """Update these rows without events, and return their number."""
    return _own("update")(rows, **values)


def bulk_create(rows, objs, **options):
    """Insert these objects without events."""
    return _own("bulk_create")(rows, objs, **options)


def insert(instance):
    """Insert the row of ``instance`` without events, and no row of its parents, as a fixture does."""
    with patch("tms_webhooks.capture.replaced_methods.is_loading_fixture", return_value=True):
        instance.save_base(raw=True, force_insert=True)


def _own(name):
    method = getattr(QuerySet, name)
    return getattr(method, "__wrapped__", method)
