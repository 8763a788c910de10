"""The API as an OpenAPI 3.1 document, by drf-spectacular: ``pip install 'tms-webhooks[openapi]'``.

A host that serves it includes ``tms_webhooks.api.schema.urls``. One that makes a document of all its APIs needs one line in
``SPECTACULAR_SETTINGS`` for the webhooks in it: ``tms_webhooks.api.schema.hooks.add_webhooks``, last among the
``POSTPROCESSING_HOOKS``. Nothing else of the app imports this package, or drf-spectacular.
"""

from __future__ import annotations
