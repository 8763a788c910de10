"""The catalogue as machine-readable documents: the webhooks of an OpenAPI document, and an AsyncAPI document.

Both describe the format ``standard`` with full detail, the default of a webhook.
"""

from __future__ import annotations

from tms_webhooks.documents.asyncapi import asyncapi_document
from tms_webhooks.documents.openapi import with_webhooks

__all__ = ["asyncapi_document", "with_webhooks"]
