"""Vouchers."""

from __future__ import annotations

from typing import ClassVar

from tms_webhooks.catalogue.types.voucher import VOUCHER
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.rules import Cleared, Filled, Rule


class VoucherSource(Source):
    """A voucher whose ``redeemed_at`` is set, or a redemption row that is created with it.

    For redemption rows without a date, use ``rules = (Created("voucher.redeemed"),)`` and ``deadline = None``.
    """

    noun = VOUCHER
    rules: ClassVar[tuple[Rule, ...]] = (
        Filled("redeemed_at", "voucher.redeemed"),
        Cleared("redeemed_at", "voucher.returned"),
    )
    deadline: ClassVar[Deadline | None] = Deadline("expires_at", expiring="voucher.expiring")
    closed_when = ClosedWhen(filled=("redeemed_at",))
