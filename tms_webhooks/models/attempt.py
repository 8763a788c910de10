"""The attempt log: one row for each HTTP call, with its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DelayReason, ErrorClass
from tms_webhooks.db import sql
from tms_webhooks.models.delivery import Delivery
from tms_webhooks.net.timing import Timing


class AttemptRow(NamedTuple):
    """One attempt as it is inserted. The first value is the one that some databases take in another form."""

    started_at: datetime
    delivery_id: int
    number: int | None
    charged: bool
    duration_ms: int
    status_code: int | None
    error_class: str
    message: str
    response_headers: str
    response_body: str
    next_delay: float | None
    delay_reason: str
    timing: str
    request: str


COLUMNS = ", ".join(AttemptRow._fields)
PLACEHOLDERS = f"({', '.join(['%s'] * len(AttemptRow._fields))})"
# The attempts of one batch.
INSERT = f"INSERT INTO {{deliveryattempt}} ({COLUMNS}) {{rows}}"


class AttemptManager(models.Manager["DeliveryAttempt"]):
    """Inserts many attempts in one statement.

    ``bulk_create`` does the same at ten times the cost, a good part of the cost of a delivery.
    """

    def insertion(self, rows: Sequence[AttemptRow]) -> Callable[[], object]:
        """Return a function that inserts these attempts, prepared ahead to keep the transaction that calls it short."""
        if not rows:
            return lambda: None
        params: list[Any] = []
        adapt = sql.database().ops.adapt_datetimefield_value
        for row in rows:
            params += adapt(row.started_at), *row[1:]
        return partial(sql.write, INSERT, params, rows=f"VALUES {', '.join([PLACEHOLDERS] * len(rows))}")


@cache
def json_rows() -> str:
    """Return PostgreSQL's query for the attempts in one parameter from `json_of`."""
    by_column = {field.column: field for field in DeliveryAttempt._meta.concrete_fields}
    return sql.recordset([by_column[name] for name in AttemptRow._fields], sql.database())


def json_of(rows: Iterable[AttemptRow]) -> str:
    """Return attempts as the parameter of `json_rows`."""
    return sql.as_json(row._asdict() for row in rows)


class DeliveryAttempt(models.Model):
    """One HTTP call and its result."""

    delivery = models.ForeignKey(
        Delivery,
        on_delete=models.CASCADE,
        related_name="attempt_log",
        db_constraint=False,
        db_index=False,
        verbose_name=_("delivery"),
    )
    # Empty for a late attempt: its worker had lost the lease, and the number belongs to the attempt of the next worker.
    number = models.PositiveIntegerField(_("number"), null=True)
    charged = models.BooleanField(_("charged"), default=True)
    started_at = models.DateTimeField(_("started at"))
    duration_ms = models.PositiveIntegerField(_("duration (ms)"))
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    error_class = models.CharField(_("error"), max_length=20, choices=ErrorClass.choices, blank=True, default="")
    message = models.CharField(_("message"), max_length=500, blank=True, default="")
    # As `outcome.response_texts` writes them: bounded, with secret values masked.
    response_headers = models.TextField(_("response headers"), blank=True, default="")
    response_body = models.TextField(_("response body"), blank=True, default="")
    next_delay = models.FloatField(_("next delay (s)"), null=True)
    delay_reason = models.CharField(
        _("delay reason"), max_length=20, choices=DelayReason.choices, blank=True, default=""
    )
    # In the format of `Timing.as_text`.
    timing = models.CharField(_("timing"), max_length=60, blank=True, default="")
    # As `Endpoint.outline` describes it; empty if it is not kept.
    request = models.TextField(blank=True, default="")

    delivery_id: int

    objects = AttemptManager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("pk",)
        indexes = [
            # Attempts to prune; attempts since a time.
            models.Index(fields=["started_at"], name="tms_attempt_by_age"),
        ]
        constraints = [
            # Also the index for the log of one delivery.
            models.UniqueConstraint(fields=["delivery", "number"], name="tms_attempt_number_once"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of delivery {self.delivery_id}"

    @property
    def parts(self) -> Timing:
        """The phases of the request; empty where they were not measured."""
        return Timing.of_text(self.timing)
