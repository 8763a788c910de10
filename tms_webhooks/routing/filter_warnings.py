"""Find ids in the filters of a webhook that match nothing, so that the form and the API can warn of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.utils.translation import gettext as _

from tms_webhooks.models import Webhook
from tms_webhooks.sources.objects import FILTERED_BY_ID, IDS_PER_QUERY, ids_of_others

MOST_NAMED_IDS = 5
"""The maximum number of ids in one warning."""


def unknown_filter_ids(webhook: Webhook) -> Iterator[tuple[str, list[str]]]:
    """Yield each filter of a webhook with ids that no object of its organizations has, and some of these ids.

    Of one filter, of all subscriptions, the first `IDS_PER_QUERY` are looked up.
    """
    wanted: dict[str, dict[Any, None]] = {}
    for subscription in webhook.subscriptions.all():
        for name in FILTERED_BY_ID:
            if ids := subscription.filters.get(name):
                wanted.setdefault(name, {}).update(dict.fromkeys(ids))
    if not wanted:
        return
    keys = webhook.scope.organizations(using=Webhook.objects.db)
    for name, checked in wanted.items():
        if unknown := ids_of_others(name, list(checked)[:IDS_PER_QUERY], organizations=keys):
            yield name, unknown[:MOST_NAMED_IDS]


def unknown_ids_warning(name: object, ids: list[str]) -> str:
    """Return the warning about ids of a filter; ``name`` is the filter's name, or its label in a form."""
    message = _("The filter %(name)s has ids that no object of the organization has: %(ids)s. Check them.")
    return message % {"name": name, "ids": ", ".join(ids)}
