"""Webhooks as a document that people keep under version control: written, compared and put into force."""

from __future__ import annotations

from tms_webhooks.config_files.apply import synchronize
from tms_webhooks.config_files.document import DocumentError
from tms_webhooks.config_files.write import to_yaml

__all__ = ["DocumentError", "synchronize", "to_yaml"]
