"""The end of hooks: by time, by the loss of a right, and by a receiver that is gone. `tms_webhooks.manage.hooks` makes them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tms_webhooks.actors import Actor
from tms_webhooks.batches import Stop, never
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Webhook

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)
"""How long a hook can be refreshed after its end."""


def end(may_keep: Callable[[Actor, Any], bool], *, now: datetime, stop: Stop = never) -> None:
    """Disable hooks at their end, and delete them a day later; delete those whose makers may no longer have them.

    ``may_keep`` decides that for a maker and the key of an organization. ``stop`` is called before each such pair.
    """
    hooks = Webhook.objects.existing().filter(hook_of__gt="")
    for hook in hooks.filter(expires_at__lte=now - KEPT):
        webhooks.delete(hook, now=now)
    for hook in hooks.filter(expires_at__lte=now, enabled=True):
        lifecycle.disable(hook, reason=DisabledReason.EXPIRED, now=now)
    # In no order, so that each maker's turn comes although runs may stop early.
    for maker, organization in set(hooks.values_list("hook_of", "organization")):
        if stop():
            return
        _scope, kind, key = maker.split(":", 2)
        try:
            ends = not may_keep(Actor(kind, key), organization)
        except Exception:
            logger.exception("ACCESS_POLICY failed for the hooks of %s %s, which stay.", kind, key)
            continue
        if ends:
            for hook in hooks.filter(hook_of=maker, organization=organization):
                webhooks.delete(hook, now=now)


def delete_gone(*, webhook: Webhook, reason: DisabledReason, now: datetime, **_signal: Any) -> None:
    """Delete a hook whose receiver has answered 410. A receiver of the signal ``webhook_disabled``."""
    if webhook.hook_of and reason == DisabledReason.GONE:
        webhooks.delete(webhook, now=now)
