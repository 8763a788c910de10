"""The management API: a REST API to manage webhooks and read their log. Include ``tms_webhooks.api.urls``.

The host's access policy decides the permissions. Authentication and throttling follow the host's settings of Django REST
framework. Errors, pages and formats are the same whatever those settings are.
"""

from __future__ import annotations
