"""The catalogue as documents that machines read: the webhooks of an OpenAPI document, and an AsyncAPI document.

Both speak of the format ``standard`` with its whole detail, which is what a webhook is sent unless it says otherwise.
"""

from __future__ import annotations

from tms_webhooks.documents.asyncapi import asyncapi_document
from tms_webhooks.documents.openapi import with_webhooks

__all__ = ["asyncapi_document", "with_webhooks"]
