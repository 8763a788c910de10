"""The pages of a webhook's signing secret: shown once after creation, rotated, and revealed with permission.

A page with a secret is one response that browsers and proxies do not cache. No message, history or session holds a secret:
the session stores only the keys of new secrets that their creator has not seen yet.
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

from tms_webhooks.access import get_policy
from tms_webhooks.admin.overview import OverviewPages
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Webhook

UNSEEN = "tms_webhooks_unseen_secrets"
MAX_UNSEEN = 20
END_OLD = "end_old"
"""The choice to sign with the new secret only, after a leak."""


class SecretPages(OverviewPages):
    """Adds the pages of the secret to the pages of a webhook."""

    def get_urls(self) -> list[URLPattern]:
        """Put the pages before Django's own, which take any path as a key."""
        view = self.admin_site.admin_view
        return [
            path("<str:key>/secret/", view(self.secret_view), name="tms_webhooks_webhook_secret"),
            path("<str:key>/secret/rotate/", view(self.rotate_view), name="tms_webhooks_webhook_rotate"),
            *super().get_urls(),
        ]

    @method_decorator(never_cache)
    @sensitive_variables()
    def secret_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show a new secret once to the user who created it; otherwise ask for confirmation, and reveal it."""
        webhook = self._get_webhook(request, key)
        is_new = request.method != "POST" and self._pop_unseen(request, webhook)
        if is_new:
            return self._secret_page(request, webhook, is_new=True)
        may_reveal = self.may_use(request, Action.REVEAL_SECRET, webhook)
        if request.method == "POST":
            if not may_reveal:
                raise PermissionDenied
            return self._secret_page(request, webhook, is_new=False)
        return self._page(request, webhook, "reveal", title=_("Reveal the signing secret"), may_reveal=may_reveal)

    @method_decorator(never_cache)
    def rotate_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Ask for confirmation, and replace the secret. Submitting one form twice replaces it once."""
        webhook = self._get_webhook(request, key)
        if not (self.has_change_permission(request, webhook) and self.may_use(request, Action.MANAGE, webhook)):
            raise PermissionDenied
        with transaction.atomic(using=router.db_for_write(Webhook)):
            # Locks the webhook's row before its related rows, in the same order as every other change.
            Webhook.objects.lock([webhook.pk])
            current = webhook.secrets.filter(expires_at__isnull=True).values_list("pk", flat=True)
            before = str(current.first() or "")
            if request.method == "POST" and request.POST.get("before", "") == before:
                self._rotate(request, webhook)
                return HttpResponseRedirect(self._secret_url(webhook))
        if request.method == "POST":
            message = _("Another user replaced the secret. Check whether you still want to replace it.")
            self.message_user(request, message, messages.WARNING)
            return HttpResponseRedirect(self._secret_url(webhook))
        overlap = timedelta(seconds=app_settings.SECRET_OVERLAP_SECONDS)
        hours = round(overlap / timedelta(hours=1))
        return self._page(request, webhook, "rotate", title=_("Replace the signing secret"), before=before, hours=hours)

    def remember_unseen(self, request: HttpRequest, webhook: Webhook) -> None:
        """Allow the user to see the webhook's newest secret once, on its page."""
        newest = webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()
        request.session[UNSEEN] = [*request.session.get(UNSEEN, []), newest][-MAX_UNSEEN:]
        # Saved in the transaction of the secret, so that the response to a second click finds it.
        request.session.save()

    def _pop_unseen(self, request: HttpRequest, webhook: Webhook) -> bool:
        newest = webhook.secrets.order_by("-pk").values_list("pk", flat=True).first()
        unseen = request.session.get(UNSEEN, [])
        if newest not in unseen:
            return False
        request.session[UNSEEN] = [key for key in unseen if key != newest]
        return True

    def _rotate(self, request: HttpRequest, webhook: Webhook) -> None:
        from tms_webhooks.manage import secrets

        ends_old = END_OLD in request.POST
        overlap = timedelta() if ends_old else None
        secrets.rotate(webhook, overlap=overlap, actor=get_policy().caller(request), now=clock.measured_now())
        text = "Rotated the secret, and ended the old one." if ends_old else "Rotated the secret."
        self.log_change(request, webhook, text)
        self.remember_unseen(request, webhook)

    @sensitive_variables()
    def _secret_page(self, request: HttpRequest, webhook: Webhook, *, is_new: bool) -> HttpResponse:
        from tms_webhooks.admin import samples
        from tms_webhooks.manage import secrets

        try:
            with transaction.atomic(using=router.db_for_write(Webhook)):
                if is_new:
                    secret = webhook.signing_secrets(timezone.now())[0]
                else:
                    secret = secrets.reveal(webhook, actor=get_policy().caller(request), now=timezone.now())
                    self.log_change(request, webhook, "Revealed the secret.")
        except (SecretError, IndexError):
            message = _("The secret can't be decrypted with the configured keys. Rotate it.")
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(
                reverse(f"{self.admin_site.name}:tms_webhooks_webhook_change", args=[webhook.public_id])
            )
        return self._page(
            request,
            webhook,
            "secret",
            title=_("Signing secret"),
            secret=secret,
            is_new=is_new,
            samples=samples.code_samples(),
        )

    def _page(self, request: HttpRequest, webhook: Webhook, name: str, **context: Any) -> HttpResponse:
        page_context = {
            **self._context(request, webhook),
            "is_subpage": True,
            "may_change": self.has_change_permission(request, webhook),
            **context,
        }
        return TemplateResponse(request, f"admin/tms_webhooks/webhook/{name}.html", page_context)

    def _secret_url(self, webhook: Webhook) -> str:
        return reverse(f"{self.admin_site.name}:tms_webhooks_webhook_secret", args=[webhook.public_id])
