"""The people of the training system: learners, instructors and administrators alike."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.utils import timezone

from example_project.training.exceptions import RefusedError
from example_project.training.models.base import external_id_field
from example_project.training.models.organizations import Company, Department, Organization
from tms_webhooks.outbox import emit

MOVED_BY_MERGE = {
    "enrollments": "user",
    "subscriptions": "user",
    "assignments": "user",
    "achievements": "user",
    "feedback": "user",
    "redeemed_vouchers": "redeemed_by",
    "classes_led": "primary_instructor",
    "classes_requested": "requested_by",
}


class Role(models.Model):
    """What a person may do in the training system, such as to teach."""

    name = models.CharField(max_length=50, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """An account. Django's ``is_active`` is left alone; ``disabled`` is the training system's own switch."""

    external_id = external_id_field()
    title = models.CharField(max_length=50, blank=True)
    first_name = models.CharField(max_length=50, blank=True)
    middle_name = models.CharField(max_length=50, blank=True)
    last_name = models.CharField(max_length=50, blank=True)
    email = models.EmailField("e-mail", unique=True)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="users",
        help_text="Empty for operators of the whole system.",
    )
    company = models.ForeignKey(Company, on_delete=models.SET_NULL, null=True, blank=True, related_name="users")
    manager = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="reports")
    managed_organizations = models.ManyToManyField(
        Organization,
        blank=True,
        related_name="administrators",
        help_text="Managing an organization means managing all below it.",
    )
    roles = models.ManyToManyField(Role, blank=True, related_name="holders")
    phone = models.CharField(max_length=30, blank=True)
    phone2 = models.CharField("second phone", max_length=30, blank=True)
    address1 = models.CharField("address", max_length=100, blank=True)
    address2 = models.CharField("address, second line", max_length=100, blank=True)
    city = models.CharField(max_length=50, blank=True)
    state = models.CharField(max_length=50, blank=True)
    zip = models.CharField("ZIP code", max_length=20, blank=True)
    country_code = models.CharField(max_length=2, blank=True, help_text="Two letters; OT is another country.")
    time_zone_id = models.CharField("time zone", max_length=50, blank=True, help_text="Empty: the organization's.")
    participate_in_achievements = models.BooleanField(default=True)
    disabled = models.BooleanField(default=False, help_text="A disabled account keeps its records but can't sign in.")
    department = models.ForeignKey(Department, on_delete=models.SET_NULL, null=True, blank=True, related_name="users")
    cost_center = models.CharField(max_length=20, blank=True)
    closed_at = models.DateTimeField("closed", null=True, blank=True, editable=False)

    class Meta(AbstractUser.Meta):
        ordering = ["last_name", "first_name", "pk"]

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    def administered_organizations(self) -> list[Organization]:
        """Return every organization this person manages, those below the ticked ones included, each once."""
        found: dict[int, Organization] = {}
        for organization in self.managed_organizations.all():
            found.update((below.pk, below) for below in organization.with_descendants())
        return list(found.values())

    def disable(self) -> None:
        """Lock the account."""
        self.disabled = True
        self.save(update_fields=["disabled"])

    def enable(self) -> None:
        """Unlock the account."""
        self.disabled = False
        self.save(update_fields=["disabled"])

    def close(self) -> None:
        """Lock the account permanently and remove all personal data; the training records stay."""
        anonymous = f"closed-{self.pk}"
        blank = (
            "title",
            "middle_name",
            "phone",
            "phone2",
            "address1",
            "address2",
            "city",
            "state",
            "zip",
            "country_code",
            "cost_center",
        )
        for name in blank:
            setattr(self, name, "")
        self.first_name, self.last_name = "Closed", "Account"
        self.username, self.email = anonymous, f"{anonymous}@accounts.invalid"
        self.external_id = None
        self.company = self.manager = self.department = None
        self.disabled = True
        self.closed_at = timezone.now()
        self.set_unusable_password()
        self.save()

    @transaction.atomic
    def merge(self, duplicate: User) -> None:
        """Move what ``duplicate`` learned and taught to this account, then delete ``duplicate``.

        Raises `RefusedError` if both are the same account.
        """
        if duplicate.pk == self.pk:
            raise RefusedError("An account can't be merged with itself.")
        for records, owner in MOVED_BY_MERGE.items():
            for record in getattr(duplicate, records).all():
                setattr(record, owner, self)
                record.save()
        # No row will say so: the duplicate goes.
        into = {"merged_into.id": self.pk, "merged_into.external_id": self.external_id}
        emit("user.merged", duplicate, extra=into)
        duplicate.delete()
