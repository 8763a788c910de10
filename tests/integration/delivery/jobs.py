"""What the tests of jobs share."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.delivery.rows import OCCURRED_AT
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.models import Webhook

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVERYTHING = {"since": OCCURRED_AT - DAY}
# A snapshot has nouns instead; `tests/integration/snapshot` has its mistakes.
WITH_A_RANGE = [kind for kind in JobKind if kind != JobKind.SNAPSHOT]


def count(kind: JobKind, webhook: Webhook, *, since=None, until=None) -> int:
    return replay.affected(kind, webhook, since=since, until=until).count()


def statuses(webhook: Webhook) -> list[str]:
    return list(webhook.deliveries.order_by("pk").values_list("status", flat=True))
