"""Addresses below ours that lead nowhere, or lack their last slash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.utils.http import escape_leading_slashes
from django.views.decorators.csrf import csrf_exempt
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


@csrf_exempt
def add_slash(request: HttpRequest) -> HttpResponsePermanentRedirect:
    """Lead to the address with its last slash by 308, which keeps the method and the body; Django's own way loses both."""
    address = escape_leading_slashes(request.get_full_path(force_append_slash=True))
    return HttpResponsePermanentRedirect(address, preserve_request=True)
