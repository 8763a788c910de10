"""The log: one row for each HTTP call, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DelayReason, ErrorClass
from tms_webhooks.db import sql
from tms_webhooks.models.delivery import Delivery
from tms_webhooks.net.timing import Timing


class AttemptRow(NamedTuple):
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
    timing: str


STARTED_AT = AttemptRow._fields.index("started_at")
COLUMNS = ", ".join(AttemptRow._fields)
LINE = f"({', '.join(['%s'] * len(AttemptRow._fields))})"
INSERT = f"INSERT INTO {{deliveryattempt}} ({COLUMNS}) {{rows}}"


class AttemptManager(models.Manager["DeliveryAttempt"]):
    """Writes the log."""

    def write(self, lines: Sequence[AttemptRow]) -> None:
        """Insert many attempts in one statement.

        ``bulk_create`` does the same at ten times the cost, which is a good part of what a delivery costs in all.
        """
        self.insertion(lines)()

    def insertion(self, lines: Sequence[AttemptRow]) -> Callable[[], object]:
        """Return what inserts these attempts when it is called: for a transaction that is to be short."""
        if not lines:
            return lambda: None
        if sql.database().vendor == "postgresql":
            return partial(sql.write, INSERT, [json_of(lines)], rows=json_rows())
        moment = sql.database().ops.adapt_datetimefield_value
        params: list[Any] = []
        for one in lines:
            params += one
            params[-len(one) + STARTED_AT] = moment(one.started_at)
        return partial(sql.write, INSERT, params, rows=f"VALUES {', '.join([LINE] * len(lines))}")


@cache
def json_rows() -> str:
    """Return a query, for PostgreSQL, for the attempts in one parameter from `json_of`."""
    by_column = {field.column: field for field in DeliveryAttempt._meta.concrete_fields}
    return sql.recordset([by_column[name] for name in AttemptRow._fields], sql.database())


def json_of(lines: Iterable[AttemptRow]) -> str:
    """Return attempts as the parameter of `json_rows`."""
    return sql.as_json(line._asdict() for line in lines)


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
    # As `Timing.as_text` has it.
    timing = models.CharField(_("timing"), max_length=60, blank=True, default="", db_default="")

    if TYPE_CHECKING:
        delivery_id: int

    objects = AttemptManager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("pk",)
        indexes = [models.Index(fields=["started_at"], name="tms_attempt_by_age")]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="tms_attempt_number_once"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of delivery {self.delivery_id}"

    @property
    def parts(self) -> Timing:
        """Where the time went; nothing is known of attempts from before that was kept."""
        return Timing.of_text(self.timing)
