from __future__ import annotations

from django.contrib import admin
from rest_framework_api_key.admin import APIKeyModelAdmin
from rest_framework_api_key.models import APIKey

from example_project.training.admin.scope import ScopedAdmin
from example_project.training.models import ApiKey

# The package's own API keys have no owner, and give no access here.
admin.site.unregister(APIKey)


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin, APIKeyModelAdmin):
    """Keys for the API. A new one is shown once, after it was saved."""

    list_display = ["prefix", "name", "organization", "created", "expiry_date", "revoked"]
    list_filter = ["revoked", "organization"]
    list_select_related = ["organization"]
    autocomplete_fields = ["organization"]
