from __future__ import annotations

from django.contrib import admin
from django.utils import timezone

from example_project.training.admin.actions import confirmed
from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import TrainingClass, User, Voucher


def redeem(voucher: Voucher, *, redeemed_class: TrainingClass, redeemed_by: User) -> None:
    """Use the voucher now."""
    voucher.redeem(training_class=redeemed_class, by=redeemed_by, at=timezone.now())


@admin.register(Voucher)
class VoucherAdmin(ScopedAdmin):
    """Vouchers, used and unused."""

    date_hierarchy = "expires_at"
    list_display = ["order_id", "course", "organization", "purchased_at", "expires_at", "redeemed_at", "redeemed_class"]
    list_filter = [("redeemed_at", admin.EmptyFieldListFilter), "organization", "course"]
    list_select_related = ["course", "organization", "redeemed_class"]
    search_fields = ["order_id", "course__name"]
    autocomplete_fields = ["course", "organization", "redeemed_class", "redeemed_by"]
    readonly_fields = ["redeemed_at", "redeemed_class", "redeemed_by"]
    actions = [
        confirmed(redeem, label="Redeem", asks=("redeemed_class", "redeemed_by")),
        confirmed(Voucher.give_back, label="Give back"),
    ]
