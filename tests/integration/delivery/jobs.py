"""What the tests of jobs share."""

from datetime import timedelta

from tests.integration.delivery.rows import OCCURRED_AT
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVERYTHING = {"since": OCCURRED_AT - DAY}
# A snapshot has nouns instead; `tests/integration/snapshot` has its mistakes.
WITH_A_RANGE = [kind for kind in JobKind if kind != JobKind.SNAPSHOT]


def count(kind, webhook, *, since=None, until=None):
    return replay.total_of(kind, webhook, since=since, until=until)


def statuses(webhook):
    return list(webhook.deliveries.order_by("pk").values_list("status", flat=True))
