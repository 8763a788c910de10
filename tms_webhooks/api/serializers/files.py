"""A webhook in a YAML file: what the API reads and writes, but complete, and without ids, state and a caller."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from rest_framework.exceptions import ValidationError

from tms_webhooks.api.serializers.webhooks import WebhookSerializer, refuse_duplicates
from tms_webhooks.models import Subscription, Webhook

ELSEWHERE = frozenset({"organization", "preset"})
"""Fields that a file has in another form, or not at all."""


class InvalidFields(ValueError):
    """Values that a webhook can't have: pairs of the place in the webhook, such as ``subscriptions[2].filters``, and the error."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions.

    One serializer serves all webhooks of a file, because its fields take long to build.
    """

    read_only_remedies = {"id": "remove it, because ids differ between environments"}

    @cached_property
    def standard(self) -> dict[str, Any]:
        """The values of a new webhook with one new subscription."""
        return self.represent(Webhook(), [Subscription()])

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values that a webhook gets if its data leaves them out."""
        kept = {"headers", "authentication", "enabled", "subscriptions"}
        return {name: value for name, value in self.standard.items() if name not in kept}

    def represent(self, webhook: Webhook, subscriptions: Iterable[Subscription] = ()) -> dict[str, Any]:
        """Return the values of a webhook, with a mask for each secret one."""
        rows = (self.fields["subscriptions"].child.to_representation(one) for one in subscriptions)  # type: ignore[attr-defined]
        values = {
            str(field.field_name): None
            if (value := field.get_attribute(webhook)) is None
            else field.to_representation(value)
            for field in self._writable_fields
            if field.field_name != "subscriptions"
        }
        return {**values, "subscriptions": [{name: row[name] for name in Subscription.CONFIGURED} for row in rows]}

    def set_values(self, webhook: Webhook, data: Mapping[str, Any]) -> tuple[list[Subscription], bool | None]:
        """Set values on a webhook; return its subscriptions, and whether it is to be enabled. Nothing is saved.

        What the data leaves out gets its default. As in a request, headers and values of the authentication stay as they
        are. Raise `InvalidFields` with all errors.
        """
        self.instance = webhook
        try:
            values = dict(self.run_validation({**self.defaults, **data}))
        except ValidationError as error:
            raise InvalidFields(list(_places(error.detail))) from error
        subscriptions, enabled = values.pop("subscriptions", ()), values.pop("enabled", None)
        for name, value in values.items():
            setattr(webhook, name, value)
        return [Subscription(webhook=webhook, **one) for one in subscriptions], enabled

    def get_fields(self) -> dict[str, Any]:
        """Return the fields that a file has as a request has them; it changes those of a creation later, too."""
        fields = {name: field for name, field in super().get_fields().items() if name not in ELSEWHERE}
        for name in ("enabled", "subscriptions"):
            fields[name].read_only = False
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be. A file may keep the headers and credentials although the URL changes."""
        values, row = dict(attrs), copy.copy(self.instance)
        subscriptions = values.pop("subscriptions", ())
        refuse_duplicates(subscriptions)
        self._patterns = [one["event_type"] for one in subscriptions]
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
