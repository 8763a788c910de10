"""The sweep of deliveries, one piece of work at a time and to its end."""

from unittest.mock import patch

from tms_webhooks.batches import never, run_alternately
from tms_webhooks.delivery import notices, sweep


def settle(now, *, stop=never):
    """Skip and cancel the open deliveries of disabled, pull-only and deleted webhooks; return their number."""
    return sum(run_alternately(sweep.settling(now), stop=stop).rows.values())


def give_up_old(now, *, stop=never):
    """Give up due deliveries that are older than DELIVERY_LIFETIME; return their number."""
    return sum(run_alternately({"given_up": sweep.giving_up(now)}, stop=stop).rows.values())


def notify(clock):
    """Notify people of webhooks, in this thread."""
    with patch.object(notices, "in_background", lambda work: work()):
        notices.notify(clock)
