"""Webhooks as YAML documents for version control: write them, compare them and apply them."""

from __future__ import annotations

from tms_webhooks.config_files.document import to_yaml
from tms_webhooks.config_files.serializers import DocumentError
from tms_webhooks.config_files.synchronize import synchronize

__all__ = ["DocumentError", "synchronize", "to_yaml"]
