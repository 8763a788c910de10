"""The limits on the rows of a customer. A lock on the organization or the webhook keeps concurrent requests within them.

Locks are taken in one order: the webhook first, its organization last.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connections
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import LimitReached
from tms_webhooks.models.organization import organization_model

MINUTE = timedelta(minutes=1)
TESTS_OF_ORGANIZATION = 10
"""An organization may send as many tests as this number of webhooks."""


def lock_organization(organization_id: Any, *, using: str) -> None:
    """Lock the row of an organization until the transaction ends. Rows that refer to it can still be written."""
    rows: Any = apps.get_model(organization_model())._base_manager.using(using).filter(pk=organization_id)
    no_key = connections[using].features.has_select_for_no_key_update
    rows.select_for_update(no_key=no_key).values_list("pk", flat=True).first()


MESSAGES = {
    "WEBHOOKS_LIMIT": gettext_lazy(
        "The organization has %(present)s webhooks; adding %(adding)s would exceed the limit of %(limit)s. Delete "
        "one, subscribe an existing one to more events, or ask the operator for a higher limit."
    ),
    "HOOKS_LIMIT": gettext_lazy(
        "Your key has %(present)s hooks, the limit is %(limit)s. Delete those that you no longer use."
    ),
    "SUBSCRIPTIONS_LIMIT": gettext_lazy(
        "The webhook has %(present)s subscriptions; adding %(adding)s would exceed the limit of %(limit)s. Delete "
        "one, or use a pattern such as class.*."
    ),
    "JOBS_LIMIT": gettext_lazy(
        "The organization has %(present)s unfinished jobs; the limit is %(limit)s. Wait until one is finished."
    ),
}
"""By the names of their settings."""


def refuse(name: str, present: int, *, adding: int = 1) -> None:
    """Raise `LimitReached` if there may not be this many more than the ``present`` ones, by the setting with this name."""
    limit = getattr(app_settings, name)
    if adding > 0 and present + adding > limit:
        numbers = {"present": present, "adding": adding, "limit": limit}
        words = {word: number_format(number, 0, force_grouping=True) for word, number in numbers.items()}
        raise LimitReached(MESSAGES[name] % words)


def refuse_test_send(sent: Any, webhook: str, *, now: datetime) -> None:
    """Raise `LimitReached` if a webhook or its organization may not send a test now.

    ``sent`` are the tests of the organization in the last minute, and ``webhook`` is a public id.
    """
    limit = app_settings.TEST_SENDS_LIMIT
    for most, rows, message in (
        (
            limit,
            sent.filter(subject_id=webhook),
            _("The webhook has sent %(limit)d tests in the last minute, the limit. Wait a minute."),
        ),
        (
            TESTS_OF_ORGANIZATION * limit,
            sent,
            _("The organization has sent %(limit)d tests in the last minute, the limit. Wait a minute."),
        ),
    ):
        for oldest in rows.order_by("-occurred_at").values_list("occurred_at", flat=True)[most - 1 : most]:
            seconds = (oldest + MINUTE - now).total_seconds()
            raise LimitReached(message % {"limit": most}, retry_after=math.ceil(seconds))
