"""The API as an OpenAPI 3.1 document, by drf-spectacular: ``pip install 'tms-webhooks[openapi]'``.

To serve it, include ``tms_webhooks.api.schema.urls``. A host with a document of all its APIs adds
``tms_webhooks.api.schema.hooks.add_webhooks`` to that document, as the last of the ``POSTPROCESSING_HOOKS`` in
``SPECTACULAR_SETTINGS``. The views describe their actions with names from `shim`, so that they also work without
drf-spectacular.
"""

from __future__ import annotations
