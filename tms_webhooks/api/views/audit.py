"""The audit log."""

from __future__ import annotations

from rest_framework import mixins

from tms_webhooks.api.filtersets import AuditFilterSet
from tms_webhooks.api.serializers.records import AuditEntrySerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.models import AuditEntry


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Return the audit entries of the caller's organizations, newest first."""

    heading = "Audit log"
    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilterSet
