"""Addresses below ours that lead nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.views import APIView

from tms_webhooks.api import problems
from tms_webhooks.api.bodies import PlainJSONRenderer, PlainNegotiation


class UnknownAddressView(APIView):
    """Answers with a problem where Django would answer with a page for people."""

    renderer_classes = (PlainJSONRenderer,)
    content_negotiation_class = PlainNegotiation
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    versioning_class = None
    metadata_class = None
    # It is no part of the documented API.
    schema = None

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> NoReturn:
        """Say that there is nothing, to whichever method."""
        raise NotFound

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Return ours."""
        return problems.answer
