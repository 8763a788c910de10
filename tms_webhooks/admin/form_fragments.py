"""Parts of a webhook's form that its script loads when they are needed, and the preview of its requests.

A form with too many values gets an answer in words.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, TooManyFieldsSent, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from tms_webhooks.admin.scope import ScopedAdmin, allows, organizations
from tms_webhooks.choices import Action
from tms_webhooks.models import Webhook

LONGEST_NUMBER = 6
"""Digits of the number of a row."""
PUBLIC_NOUNS = ("course", "class")
"""The nouns of the pickers of filters, whose names are not about people."""


class FragmentPages(ScopedAdmin):
    """Adds the parts to the pages of a webhook."""

    @property
    def urls(self) -> list[URLPattern]:
        """The pages, which say it in words if a form has more values than Django accepts."""
        patterns = super().urls
        for pattern in patterns:
            pattern.callback = self._refusing_oversized(pattern.callback)
        return patterns

    def get_urls(self) -> list[URLPattern]:
        """Put the pages before Django's own, which take any path as a key."""
        filters = never_cache(self.admin_site.admin_view(self.filters_view))
        found = never_cache(self.admin_site.admin_view(self.objects_view))
        preview = self.admin_site.admin_view(never_cache(self.preview_view))
        return [
            path("filters/", filters, name="tms_webhooks_webhook_filters"),
            path("objects/", found, name="tms_webhooks_webhook_objects"),
            path("preview/", preview, name="tms_webhooks_webhook_preview"),
            path("<str:key>/preview/", preview, name="tms_webhooks_webhook_preview_of"),
            path("<str:key>/filters/", filters, name="tms_webhooks_webhook_filters_of"),
            *super().get_urls(),
        ]

    def editable(self, request: HttpRequest, key: str | None) -> Webhook | None:
        """Return the webhook of a form, or None for a new one; raise `PermissionDenied` if the user may not save it."""
        webhook: Webhook | None = None if key is None else self.get_object(request, key)
        allowed = self.has_add_permission(request) if key is None else self.has_change_permission(request, webhook)
        if not allowed or (key is not None and webhook is None):
            raise PermissionDenied
        return webhook

    def filters_view(self, request: HttpRequest, key: str | None = None) -> HttpResponse:
        """Show the filters of one event: of the stored subscription ``subscription``, or of a new one."""
        from tms_webhooks.admin.forms.events import EventRows

        webhook = self.editable(request, key) or Webhook()
        number = request.GET.get("number", "")
        number = number if number.isdecimal() and len(number) <= LONGEST_NUMBER else "0"
        stored = request.GET.get("subscription", "")
        row = EventRows(webhook=webhook).opened(int(number), request.GET.get("event_type", ""), stored)
        return TemplateResponse(request, "admin/tms_webhooks/webhook/event_filters.html", {"row": row})

    def objects_view(self, request: HttpRequest) -> HttpResponse:
        """Return the objects of the noun ``noun`` in the organization ``organization`` that match the text ``q``, as JSON.

        Names of people are payload: their objects need the permission to view payloads.
        """
        from tms_webhooks.sources import objects

        noun, organization = request.GET.get("noun", ""), request.GET.get("organization", "")
        action = Action.MANAGE if noun in PUBLIC_NOUNS else Action.VIEW_PAYLOAD
        try:
            viewed = organizations(request, Action.VIEW).filter(pk=organization)
            keys = [key for key in viewed.values_list("pk", flat=True) if allows(request, action, key)]
        except (TypeError, ValueError, ValidationError):
            keys = []
        if not keys or not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        found = objects.search(noun, request.GET.get("q", ""), organizations=keys)
        return JsonResponse({"objects": [one._asdict() for one in found]})

    def preview_view(self, request: HttpRequest, key: str | None = None) -> HttpResponse:
        """Show the request that the posted form would lead to, without saving it.

        Returns a whole page for the button, and the preview alone for the form's script.
        """
        from tms_webhooks.admin.preview import preview_context

        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        webhook = self.editable(request, key)
        form: Any = self.get_form(request, webhook)(request.POST, instance=webhook)
        form.full_clean()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": webhook,
            "title": _("Preview"),
            **preview_context(request, form),
        }
        is_part = request.headers.get("X-Requested-With") == "fetch"
        name = "preview_part" if is_part else "preview"
        return TemplateResponse(request, f"admin/tms_webhooks/webhook/{name}.html", context)

    def _refusing_oversized(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        """Return a view that reads the form before the check of the CSRF token, which would answer a bare 400."""

        # The view inside checks the token.
        @csrf_exempt
        @wraps(view)
        def refusing(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                _ = request.POST
            except (TooManyFieldsSent, RequestDataTooBig):
                return self._oversized(request)
            return view(request, *args, **kwargs)

        return refusing

    def _oversized(self, request: HttpRequest) -> HttpResponse:
        message = _(
            "The form has more than the %(most)s values that this site accepts. Nothing was saved. Go back, and open the "
            "filters of fewer events before you save; or turn on JavaScript, which sends the form as one value."
        )
        most = number_format(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS or 0, 0, force_grouping=True)
        context = {
            **self.admin_site.each_context(request),
            "title": _("The form is too long"),
            "problem": message % {"most": most},
        }
        return TemplateResponse(request, "admin/tms_webhooks/webhook/oversized.html", context, status=400)
