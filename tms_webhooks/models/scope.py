"""Whose events a webhook is told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.models.audience import Listener


class Scoped(models.Model):
    """The part of a webhook that says which organizations' events it is for, beside its own."""

    audience = models.CharField(
        _("audience"),
        max_length=10,
        choices=Audience.choices,
        default=Audience.OWNER,
        db_default=Audience.OWNER,
        help_text=_(
            "Events of what the organization owns, such as its classes with everybody in them; of its own learners, "
            "wherever they learn; or both."
        ),
    )
    include_children = models.BooleanField(
        _("include child organizations"),
        default=False,
        db_default=False,
        help_text=_("Also events of the organizations below this one, at any depth."),
    )

    if TYPE_CHECKING:
        organization_id: Any

    class Meta:
        abstract = True

    @property
    def listener(self) -> Listener:
        """What it says of whose events it is for."""
        return Listener(self.organization_id, self.audience, self.include_children)

    def clean(self) -> None:
        """Refuse child organizations where the host has named none."""
        super().clean()
        if self.include_children and not app_settings.ORGANIZATION_PARENT:
            message = _("There are no child organizations: the setting ORGANIZATION_PARENT is empty. Leave this off.")
            raise ValidationError({"include_children": message}, code="no_tree")
