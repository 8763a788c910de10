"""The audit log."""

from __future__ import annotations

from rest_framework import mixins

from tms_webhooks.api.filtersets import AuditFilterSet
from tms_webhooks.api.serializers.records import AuditEntrySerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.models import AuditEntry
from tms_webhooks.models.public_ids import public_id_pattern
from tms_webhooks.models.webhook import heavy_columns


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Return the audit entries of the caller's organizations, newest first."""

    heading = "Audit log"
    row_kind = "audit entry"
    lookup_value_regex = public_id_pattern(AuditEntry.PUBLIC_PREFIX)
    queryset = AuditEntry.objects.select_related("webhook").defer(*heavy_columns())
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilterSet
