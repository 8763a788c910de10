"""Class vouchers, bought on a marketplace."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models, transaction
from django.utils import timezone

from example_project.training.exceptions import RefusedError
from example_project.training.models.base import Record
from example_project.training.models.classes import OVER, TrainingClass
from example_project.training.models.courses import Course
from example_project.training.models.organizations import Organization
from example_project.training.models.people import User

VOUCHER_LIFETIME = timedelta(days=90)


class Voucher(Record):
    """One seat for one course, paid for and to be used in time."""

    order_id = models.CharField("order ID", max_length=50, db_index=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="vouchers")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="vouchers")
    purchased_at = models.DateTimeField("purchased", default=timezone.now)
    expires_at = models.DateTimeField("expires", db_index=True)
    redeemed_at = models.DateTimeField("redeemed", null=True, blank=True)
    redeemed_class = models.ForeignKey(
        TrainingClass, on_delete=models.PROTECT, null=True, blank=True, related_name="vouchers"
    )
    redeemed_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="redeemed_vouchers"
    )

    class Meta:
        ordering = ["expires_at", "pk"]

    def __str__(self) -> str:
        return f"Order {self.order_id}: {self.course}"

    @transaction.atomic
    def redeem(self, *, training_class: TrainingClass, by: User, at: datetime) -> None:
        """Use the voucher for a seat in ``training_class``.

        Raises `RefusedError` if it was used before, has expired, was bought for another course or by another
        organization, and if the class is over.
        """
        self.refresh_from_db(from_queryset=Voucher.objects.select_for_update())
        if self.redeemed_at is not None:
            raise RefusedError(f"{self} was redeemed before.")
        if self.expires_at <= at:
            raise RefusedError(f"{self} has expired.")
        if self.course_id != training_class.course_id:
            raise RefusedError(f"{self} is for another course than {training_class}.")
        if self.organization_id != training_class.organization_id:
            raise RefusedError(f"{self} belongs to another organization than {training_class}.")
        if training_class.confirmation_status_id in OVER:
            raise RefusedError(f"{self} can't be redeemed for {training_class}, which is over.")
        self.redeemed_at, self.redeemed_class, self.redeemed_by = at, training_class, by
        self.save_fields("redeemed_at", "redeemed_class", "redeemed_by")

    def give_back(self) -> None:
        """Make a redeemed voucher usable for another seat. Raises `RefusedError` if it is not redeemed."""
        if self.redeemed_at is None:
            raise RefusedError(f"{self} is not redeemed.")
        self.redeemed_at = self.redeemed_class = self.redeemed_by = None
        self.save_fields("redeemed_at", "redeemed_class", "redeemed_by")
