"""The serializers: webhooks, actions on them, and the records that the API shows; all reject unknown names."""

from __future__ import annotations
