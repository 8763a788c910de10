"""Keys with which the systems of an organization call the API."""

from __future__ import annotations

from django.db import models
from rest_framework_api_key.models import AbstractAPIKey

from example_project.training.models.organizations import Organization


class ApiKey(AbstractAPIKey):
    """A key of one organization. Only its hash is stored, so a lost key must be replaced."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="api_keys")

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"
