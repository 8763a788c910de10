"""The pages of a webhook's signing secret: shown once when it is made, rotated, and revealed to those who may.

What shows a secret is the answer to one request, and no browser or proxy keeps it. It goes through no message, no history
and no session: the session only remembers which new secret its owner has not seen yet.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from tms_webhooks.admin import samples
from tms_webhooks.admin.audit import write_down
from tms_webhooks.admin.overview import OverviewPages
from tms_webhooks.choices import Action, AuditAction
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Webhook

UNSEEN = "tms_webhooks_unseen_secrets"
MOST_UNSEEN = 20


class SecretPages(OverviewPages):
    """Adds the pages of the secret to the admin's pages of a webhook."""

    def get_urls(self) -> list[URLPattern]:
        """Put them before Django's own, which take any path for a key."""
        view = self.admin_site.admin_view
        return [
            path("<int:key>/secret/", view(self.secret_view), name="tms_webhooks_webhook_secret"),
            path("<int:key>/secret/rotate/", view(self.rotate_view), name="tms_webhooks_webhook_rotate"),
            *super().get_urls(),
        ]

    @method_decorator(never_cache)
    @sensitive_variables()
    def secret_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Show a new secret to the person who made it, once; otherwise ask whether it is to be revealed, and do that."""
        webhook = self._found(request, key)
        is_new = request.method != "POST" and self._take_unseen(request, webhook)
        if is_new:
            return self._shown(request, webhook, is_new=True)
        may_reveal = self.may(request, Action.REVEAL_SECRET, webhook)
        if request.method == "POST":
            if not may_reveal:
                raise PermissionDenied
            with transaction.atomic(using=router.db_for_write(Webhook)):
                write_down(request, AuditAction.SECRET_REVEALED, webhook, now=timezone.now())
                self.log_change(request, webhook, "Revealed the secret.")
            return self._shown(request, webhook, is_new=False)
        return self._page(request, webhook, "reveal", title=_("Reveal the signing secret"), may_reveal=may_reveal)

    @method_decorator(never_cache)
    def rotate_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Ask whether the secret is to be replaced, and do it. Asked twice with one form, it is done once."""
        webhook = self._found(request, key)
        if not self.has_change_permission(request, webhook):
            raise PermissionDenied
        with transaction.atomic(using=router.db_for_write(Webhook)):
            # Its row first, and then those that belong to it, as everybody does who changes them.
            Webhook.objects.lock([webhook.pk])
            current = webhook.secrets.filter(expires_at__isnull=True).values_list("pk", flat=True)
            before = str(current.first() or "")
            if request.method == "POST" and request.POST.get("before", "") == before:
                self._rotate(request, webhook)
                return HttpResponseRedirect(self._address(webhook))
        if request.method == "POST":
            told = _("The secret was replaced in the meantime. Look whether you still want to replace it.")
            self.message_user(request, told, messages.WARNING)
            return HttpResponseRedirect(self._address(webhook))
        overlap = timedelta(seconds=app_settings.SECRET_OVERLAP)
        hours = round(overlap / timedelta(hours=1))
        return self._page(request, webhook, "rotate", title=_("Replace the signing secret"), before=before, hours=hours)

    def remember_unseen(self, request: HttpRequest, webhook: Webhook) -> None:
        """Let the person behind the request see the webhook's newest secret once, on its page."""
        newest = webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()
        request.session[UNSEEN] = [*request.session.get(UNSEEN, []), newest][-MOST_UNSEEN:]
        # Written with the secret itself, so that the answer to a second click finds it.
        request.session.save()

    def _take_unseen(self, request: HttpRequest, webhook: Webhook) -> bool:
        newest = webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()
        unseen = request.session.get(UNSEEN, [])
        if newest not in unseen:
            return False
        request.session[UNSEEN] = [key for key in unseen if key != newest]
        return True

    def _rotate(self, request: HttpRequest, webhook: Webhook) -> None:
        webhook.rotate_secret(now=timezone.now())
        write_down(request, AuditAction.SECRET_ROTATED, webhook, now=timezone.now())
        self.log_change(request, webhook, "Rotated the secret.")
        self.remember_unseen(request, webhook)

    @sensitive_variables()
    def _shown(self, request: HttpRequest, webhook: Webhook, *, is_new: bool) -> HttpResponse:
        try:
            secret = webhook.signing_secrets(timezone.now())[0]
        except (SecretError, IndexError):
            told = _("The secret can't be decrypted with the keys at hand. Rotate it.")
            self.message_user(request, told, messages.ERROR)
            return HttpResponseRedirect(
                reverse(f"{self.admin_site.name}:tms_webhooks_webhook_change", args=[webhook.pk])
            )
        return self._page(
            request,
            webhook,
            "secret",
            title=_("The signing secret"),
            secret=secret,
            is_new=is_new,
            samples=samples.all_samples(),
        )

    def _page(self, request: HttpRequest, webhook: Webhook, name: str, **context: Any) -> HttpResponse:
        whole = {
            **self._context(request, webhook),
            "act": name,
            "may_change": self.has_change_permission(request, webhook),
            **context,
        }
        return TemplateResponse(request, f"admin/tms_webhooks/webhook/{name}.html", whole)

    def _address(self, webhook: Webhook) -> str:
        return reverse(f"{self.admin_site.name}:tms_webhooks_webhook_secret", args=[webhook.pk])
