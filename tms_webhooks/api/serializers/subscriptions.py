"""What a webhook subscribes to."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api.serializers.bases import RowSerializer
from tms_webhooks.api.serializers.fields import KeyField
from tms_webhooks.models import Subscription

MOST_SUBSCRIPTIONS = 200


class SubscriptionSerializer(RowSerializer):
    """One event name or pattern, with what narrows it."""

    id = KeyField()

    class Meta:
        model = Subscription
        fields = ("id", "event_type", "more_than_days", "less_than_days", "filters", "condition")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the subscription as it would be."""
        known = {} if self.instance is None else {name: getattr(self.instance, name) for name in self.Meta.fields[1:]}
        self.validated_row(Subscription(**known), attrs)
        return attrs
