"""A webhook in a YAML file: what the API reads and writes, but complete, and without ids, state and a caller."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.models import Subscription, Webhook

ELSEWHERE = frozenset({"organization", "preset"})
"""Fields that a file has in another form, or not at all."""


class InvalidFields(ValueError):
    """Values that a webhook can't have: pairs of the place in the webhook, such as ``subscriptions[2].filters``, and the error."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions."""

    read_only_remedies = {"id": "remove it, because ids differ between environments"}

    @classmethod
    def represent(cls, webhook: Webhook, subscriptions: Iterable[Subscription] = ()) -> dict[str, Any]:
        """Return the values, with a mask for each secret one."""
        serializer = cls(webhook)
        child: Any = serializer.fields["subscriptions"]
        rows = child.to_representation(list(subscriptions))
        configured = [{name: row[name] for name in Subscription.CONFIGURED} for row in rows]
        return {**serializer.to_representation(webhook), "subscriptions": configured}

    @classmethod
    def set_values(cls, webhook: Webhook, data: Mapping[str, Any]) -> tuple[list[Subscription], bool | None]:
        """Set values on a webhook; return its subscriptions, and whether it is to be enabled. Nothing is saved.

        What the data leaves out gets its default. As in a request, headers and values of the authentication stay as they
        are. Raise `InvalidFields` with all errors.
        """
        serializer = cls(webhook, data={**cls.defaults(), **data})
        if not serializer.is_valid():
            raise InvalidFields(list(_places(serializer.errors)))
        values = dict(serializer.validated_data)
        subscriptions, enabled = values.pop("subscriptions", ()), values.pop("enabled", None)
        for name, value in values.items():
            setattr(webhook, name, value)
        return [Subscription(webhook=webhook, **one) for one in subscriptions], enabled

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the values of a webhook that sets none, without headers, authentication and state."""
        values = cls.represent(Webhook())
        return {name: value for name, value in values.items() if name not in ("headers", "authentication", "enabled")}

    def get_fields(self) -> dict[str, Any]:
        """Return the fields; a file also changes those that a request can set on creation only."""
        fields = {name: field for name, field in super().get_fields().items() if name not in ELSEWHERE}
        for name in ("enabled", "subscriptions"):
            fields[name].read_only = False
        return fields

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        """Return the values that a user sets, without subscriptions."""
        fields = [field for field in self._writable_fields if field.field_name != "subscriptions"]
        values = ((field, field.get_attribute(instance)) for field in fields)
        return {
            str(field.field_name): None if value is None else field.to_representation(value) for field, value in values
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be. A file may keep the headers and credentials although the URL changes."""
        values, row = dict(attrs), copy.copy(self.instance)
        self._patterns = [one["event_type"] for one in values.pop("subscriptions", ())]
        if row is not None:
            self.apply_and_validate(row, values)
        return attrs


def _places(detail: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for key, inner in detail.items():
            step = f"[{key}]" if str(key).isdecimal() else f".{key}"
            yield from _places(inner, place if key == "non_field_errors" else f"{place}{step}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _places(inner, f"{place}[{index}]" if isinstance(inner, Mapping | list) else place)
    else:
        yield place.removeprefix("."), str(detail)
