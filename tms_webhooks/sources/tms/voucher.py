"""Vouchers."""

from __future__ import annotations

from tms_webhooks.catalogue.types.voucher import VOUCHER
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.rules import Filled


class VoucherSource(Source):
    """A voucher whose ``redeemed_at`` gets set, or a redemption row that is born with it.

    Where redemption rows bear no date, say ``rules = (Created("voucher.redeemed"),)`` and ``deadline = None``.
    """

    noun = VOUCHER
    rules = (Filled("redeemed_at", "voucher.redeemed"),)
    deadline = Deadline("expires_at", expiring="voucher.expiring")
    closing = ClosedWhen(moments=("redeemed_at",))
