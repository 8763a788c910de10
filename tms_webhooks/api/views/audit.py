"""The audit log, to read."""

from __future__ import annotations

from rest_framework import mixins

from tms_webhooks.api.filtersets import AuditFilterSet
from tms_webhooks.api.serializers.audit import AuditEntrySerializer
from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.models import AuditEntry


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """What was done in the caller's organizations, the newest first."""

    heading = "Audit log"
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilterSet
