"""The log: one row for each HTTP call, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DelayReason, ErrorClass
from tms_webhooks.models import statements
from tms_webhooks.models.delivery import Delivery


class AttemptLine(NamedTuple):
    """One attempt as it is written down: the columns of `DeliveryAttempt`, in their order."""

    delivery_id: int
    number: int | None
    charged: bool
    started_at: datetime
    duration_ms: int
    status_code: int | None
    error_class: str
    message: str
    response_body: str
    next_delay: float | None
    delay_reason: str


STARTED_AT = AttemptLine._fields.index("started_at")
COLUMNS = ", ".join(AttemptLine._fields)
LINE = f"({', '.join(['%s'] * len(AttemptLine._fields))})"
INSERT = f"INSERT INTO {{deliveryattempt}} ({COLUMNS}) {{rows}}"


class AttemptManager(models.Manager["DeliveryAttempt"]):
    """Writes the log."""

    def write(self, lines: Sequence[AttemptLine]) -> None:
        """Insert many attempts in one statement.

        ``bulk_create`` does the same at ten times the cost, which is a good part of what a delivery costs in all.
        """
        if lines and statements.database().vendor == "postgresql":
            self._write_json(lines)
        elif lines:
            moment = statements.database().ops.adapt_datetimefield_value
            params: list[Any] = []
            for one in lines:
                params += one
                params[-len(one) + STARTED_AT] = moment(one.started_at)
            statements.write(INSERT, params, rows=f"VALUES {', '.join([LINE] * len(lines))}")

    def _write_json(self, lines: Sequence[AttemptLine]) -> None:
        by_column = {field.column: field for field in self.model._meta.concrete_fields}
        fields = [by_column[name] for name in AttemptLine._fields]
        rows = (line._asdict() for line in lines)
        sql = statements.recordset(fields, statements.database())
        statements.write(INSERT, [statements.as_json(rows)], rows=sql)


class DeliveryAttempt(models.Model):
    """One HTTP call, and what came of it."""

    delivery = models.ForeignKey(
        Delivery,
        on_delete=models.CASCADE,
        related_name="attempt_log",
        db_constraint=False,
        db_index=False,
        verbose_name=_("delivery"),
    )
    # Empty for a late one: its worker had lost the lease, and the number belongs to the attempt that took over.
    number = models.PositiveIntegerField(_("number"), null=True)
    charged = models.BooleanField(_("charged"), default=True)
    started_at = models.DateTimeField(_("started at"))
    duration_ms = models.PositiveIntegerField(_("duration (ms)"))
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    error_class = models.CharField(_("error"), max_length=20, choices=ErrorClass.choices, blank=True, default="")
    message = models.CharField(_("message"), max_length=500, blank=True, default="")
    response_body = models.TextField(_("response body"), blank=True, default="")
    next_delay = models.FloatField(_("next delay (s)"), null=True)
    delay_reason = models.CharField(
        _("delay reason"), max_length=20, choices=DelayReason.choices, blank=True, default=""
    )

    if TYPE_CHECKING:
        delivery_id: int

    objects = AttemptManager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("pk",)
        indexes = [models.Index(fields=["started_at"], name="tms_attempt_by_age")]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="tms_attempt_number"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of delivery {self.delivery_id}"
