"""The management API: REST over the tables, for the systems of an organization. Include ``tms_webhooks.api.urls``.

Who may do what is said by the host's access policy; authentication and throttling are the host's settings of Django REST
framework. All else, from the form of an error to that of a page, is settled here, whatever those settings say.
"""

from __future__ import annotations
