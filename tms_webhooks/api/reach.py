"""Whether a webhook's URL leads anywhere, for the one who sets it."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.net import urls


def require_reachable(url: Any) -> None:
    """Raise ``ValidationError`` for a URL whose host has no address, or one that webhooks may not call.

    Looks the name up, so call it outside of any transaction. What is wrong with the form of a URL the serializer says, with
    all else that is wrong.
    """
    try:
        urls.check_url(url)
    except (UnsafeURL, TypeError):
        return
    try:
        urls.check_reachable(url)
    except UnsafeURL as error:
        raise ValidationError({"url": [ErrorDetail(str(error), code="unsafe_url")]}) from error
