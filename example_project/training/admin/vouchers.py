from __future__ import annotations

from django.contrib import admin

from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import Voucher


@admin.register(Voucher)
class VoucherAdmin(ScopedAdmin):
    """Vouchers, used and unused."""

    date_hierarchy = "expires_at"
    list_display = ["order_id", "course", "organization", "purchased_at", "expires_at", "redeemed_at", "redeemed_class"]
    list_filter = [("redeemed_at", admin.EmptyFieldListFilter), "organization", "course"]
    list_select_related = ["course", "organization", "redeemed_class"]
    search_fields = ["order_id", "course__name"]
    autocomplete_fields = ["course", "organization", "redeemed_class", "redeemed_by"]
