"""The nouns of a snapshot: those with a source that can send its objects, and those that a webhook subscribes to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from django.utils.translation import gettext as _

from tms_webhooks import catalogue, event_names
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.filters.paths import suggested
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.sources.registry import sources_of_noun

FIELD = "nouns"
"""The argument that the errors name."""


def subscriptions_to(webhook: Webhook, noun: str) -> list[Subscription]:
    """Return the webhook's subscriptions to at least one event of a noun."""
    names = {event_type.name for event_type in catalogue.grouped().get(noun, ())}
    return [
        one for one in webhook.subscriptions.order_by("pk") if names.intersection(event_names.matching(one.event_type))
    ]


def available(webhook: Webhook) -> list[str]:
    """Return the nouns that a snapshot of a webhook can have, in the order of the catalogue."""
    return [noun for noun in catalogue.grouped() if sources_of_noun(noun) and subscriptions_to(webhook, noun)]


def checked(webhook: Webhook, nouns: Iterable[str]) -> list[str]:
    """Return these nouns without duplicates; raise `ReplayError` for one that a snapshot of the webhook can't have."""
    chosen = list(dict.fromkeys(nouns))
    if not chosen:
        message = _("nouns is empty; name at least one of: %(nouns)s.")
        raise _error(message % {"nouns": ", ".join(available(webhook)) or "-"}, code="empty")
    for noun in chosen:
        _check(webhook, noun)
    return chosen


def _check(webhook: Webhook, noun: str) -> None:
    possible = available(webhook)
    if noun in possible:
        return
    values = {"noun": noun, "key": webhook.public_id, "nouns": ", ".join(possible) or "-"}
    if not sources_of_noun(noun):
        suggestion = suggested(difflib.get_close_matches(noun, possible, n=1))
        message = _('nouns: objects of "%(noun)s" can\'t be sent as a snapshot. This webhook can have: %(nouns)s.')
        raise _error(message % values + suggestion, code="unknown")
    message = _(
        'nouns: webhook %(key)s has no subscription to events of "%(noun)s"; add one, such as %(noun)s.*, or leave '
        "it out. This webhook can have: %(nouns)s."
    )
    raise _error(message % values, code="not_subscribed")


def _error(message: str, *, code: str) -> ReplayError:
    return ReplayError(message, field=FIELD, code=code)
