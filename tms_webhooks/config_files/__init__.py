"""Webhooks as YAML documents for version control: write them, compare them and apply them."""

from __future__ import annotations

from tms_webhooks.config_files.parse import DocumentError
from tms_webhooks.config_files.synchronize import synchronize
from tms_webhooks.config_files.write import to_yaml

__all__ = ["DocumentError", "synchronize", "to_yaml"]
