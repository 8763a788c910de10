"""Parcels without a database, and a look at the lanes that hold them."""

from __future__ import annotations

from base64 import b64encode
from itertools import count

from tms_webhooks.delivery.lanes import Lanes
from tms_webhooks.delivery.outgoing import Parcel, Route

_keys = count(1)


def parcel(webhook_id: int = 1, *, cap: int = 1) -> Parcel:
    """Make a parcel of a webhook to which ``cap`` may be sent at once."""
    key = next(_keys)
    route = Route(
        webhook_id=webhook_id,
        verb="POST",
        url=f"https://receiver.example.com/{webhook_id}",
        headers={},
        secrets=["whsec_" + b64encode(b"k" * 32).decode()],
        timeout=20.0,
        schedule="",
        max_retries=None,
        cap=cap,
    )
    return Parcel(key, f"evt_{key}", 1, 0, False, b"{}", route)


def parcels(number: int, webhook_id: int = 1, *, cap: int = 1) -> list[Parcel]:
    return [parcel(webhook_id, cap=cap) for _ in range(number)]


def is_empty(lanes: Lanes) -> bool:
    """Tell whether nobody would be given anything now."""
    return not lanes._ready
