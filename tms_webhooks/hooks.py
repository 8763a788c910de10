"""The end of hooks: by time, by the loss of a right, and by a receiver that is gone. `tms_webhooks.manage.hooks` makes them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

from django.db.models import Q

from tms_webhooks.actors import Actor
from tms_webhooks.batches import Batches, Stop, after, never, run_alternately
from tms_webhooks.choices import DisabledReason
from tms_webhooks.db import clock
from tms_webhooks.delivery import lifecycle
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest, SendResult
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Webhook
from tms_webhooks.models.webhook import MCP_HEADER
from tms_webhooks.worker.send import send

logger = logging.getLogger(__name__)

KEPT = timedelta(days=1)
"""How long a hook can be refreshed after its end."""
HOOKS_PER_SWEEP = 200
"""Hooks at their end that one sweep ends. The others wait for the next one."""
TERMINATION_SECONDS = 3
"""How long one receiver may take for a termination, and how long a sweep begins to send some."""
FORBIDDEN = -32024
"""The code of SEP-3415 for a caller without the right."""
TERMINATED = {"type": "terminated", "error": {"code": FORBIDDEN, "message": "The maker lost its right."}}


def end(may_keep: Callable[[Actor, Any], bool], *, now: datetime, stop: Stop = never) -> None:
    """Disable hooks at their end, and delete them a day later; delete those whose makers may no longer have them.

    ``may_keep`` decides that for a maker and the key of an organization. ``stop`` is called before each hook and each such
    pair. A failure is logged, and tried again by the next sweep.

    Then the receivers of the deleted MCP subscriptions that were enabled are sent a message, as far as there is time. It is
    a courtesy: the next refresh fails anyway.
    """
    deleted: list[Webhook] = []
    run_alternately({"at their end": _end_due(now), "of makers": _end_forbidden(may_keep, now, deleted)}, stop=stop)
    out_of_time = after(TERMINATION_SECONDS)
    for hook in deleted:
        with _logged("A termination"):
            if hook.enabled and hook.mcp_subscription and not out_of_time():
                hook.timeout_seconds = TERMINATION_SECONDS
                send_control(hook, TERMINATED, hook.signing_secrets(now))


def _end_due(now: datetime) -> Batches:
    has_work = Q(enabled=True) | Q(expires_at__lte=now - KEPT)
    due = Webhook.objects.existing().filter(has_work, hook_of__gt="", expires_at__lte=now).order_by("expires_at")
    for key in due.values_list("pk", flat=True)[:HOOKS_PER_SWEEP]:
        with _logged(f"The hook {key}"), Webhook.objects.locked(key):
            # Read again: its program may have refreshed it.
            for hook in due.filter(pk=key):
                lifecycle.disable(hook, reason=DisabledReason.EXPIRED, now=now)
                if (hook.expires_at or now) <= now - KEPT:
                    webhooks.delete(hook, now=now)
        yield 1


def _end_forbidden(may_keep: Callable[[Actor, Any], bool], now: datetime, deleted: list[Webhook]) -> Batches:
    """Delete the hooks of makers that may not keep them, and add them to ``deleted``."""
    rows = Webhook.objects.existing().filter(hook_of__gt="")
    # In no order, so that each maker's turn comes although runs may stop early.
    for maker, organization in set(rows.values_list("hook_of", "organization")):
        _scope, kind, key = maker.split(":", 2)
        with _logged(f"ACCESS_POLICY for the hooks of {kind} {key}, which stay"):
            if not may_keep(Actor(kind, key), organization):
                for hook in rows.filter(hook_of=maker, organization=organization):
                    with _logged(f"The hook {hook.pk}"):
                        webhooks.delete(hook, now=now)
                        deleted.append(hook)
                    yield 1
        yield 1


@contextmanager
def _logged(subject: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.exception("%s: an error that does not end the sweep.", subject)


def delete_gone(*, webhook: Webhook, reason: DisabledReason, now: datetime, **_signal: Any) -> None:
    """Delete a hook whose receiver has answered 410. A receiver of the signal ``webhook_disabled``."""
    if webhook.hook_of and reason == DisabledReason.GONE:
        webhooks.delete(webhook, now=now)


def send_control(hook: Webhook, body: Mapping[str, Any], secrets: Sequence[str]) -> SendResult:
    """Send the receiver of an MCP subscription a signed message that is not an event, once, and return the result (SEP-3415).

    Takes at most the timeout of the hook. Never call it in a transaction.
    """
    return send(
        OutgoingRequest(
            0,
            0,
            f"msg_{body['type']}_{token_hex(8)}",
            1,
            0,
            True,
            json.dumps(body).encode(),
            Endpoint(hook, {MCP_HEADER: str(hook.mcp_subscription)}, secrets),
        ),
        clock=clock.measured_now,
    )
