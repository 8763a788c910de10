"""The body of a verification: a captured request."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from rest_framework import serializers

from tms_webhooks.api.serializers.fields import JSONObjectField, StrictCharField, UTCDateTimeField
from tms_webhooks.api.serializers.strict import StrictSerializer


class VerifySerializer(StrictSerializer):
    """A captured request: its headers, and the exact body as text, or in base64 if it is not UTF-8.

    ``webhook`` is needed only if the headers do not name the delivery. With ``received_at``, the age of the signature at
    that time is verified, too.
    """

    headers: Any = JSONObjectField(child=StrictCharField(allow_blank=True))
    body = StrictCharField(required=False, allow_blank=True)
    body_base64 = StrictCharField(required=False, allow_blank=True)
    webhook = StrictCharField(required=False, max_length=36)
    received_at = UTCDateTimeField(required=False)

    def validate_headers(self, value: dict[str, str]) -> dict[str, str]:
        """Return the headers by their names in lower case."""
        return {name.lower(): text for name, text in value.items()}

    def validate_body_base64(self, value: str) -> bytes:
        """Return the decoded body."""
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise serializers.ValidationError("Not base64; encode the bytes of the body.", code="invalid") from error

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the values with ``body`` as bytes; require exactly one of the two forms of the body."""
        if ("body" in attrs) == ("body_base64" in attrs):
            message = "Give the body either in body, as text, or in body_base64."
            raise serializers.ValidationError({"body": [serializers.ErrorDetail(message, code="required")]})
        encoded = attrs.pop("body_base64", None)
        body = attrs["body"].encode("utf-8", "surrogatepass") if encoded is None else encoded
        return {**attrs, "body": body}
