"""The pages of a webhook's signing secret: shown once after creation, rotated, and revealed with permission.

A page with a secret is one response that browsers and proxies do not cache. No message, history or session holds a secret:
the session stores only the keys of new secrets that their creator has not seen yet.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from tms_webhooks.admin.webhook_form import UNSEEN, newest_secret, remember_unseen
from tms_webhooks.choices import Action
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError
from tms_webhooks.manage import secrets
from tms_webhooks.models import Webhook

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

END_OLD = "end_old"
"""The choice to sign with the new secret only, after a leak."""


@sensitive_variables()
def secret(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Show a new secret once to the user who created it; otherwise ask for confirmation, and reveal it."""
    webhook = admin.row_of(request, key)
    if request.method != "POST" and _pop_unseen(request, webhook):
        return _secret_page(admin, request, webhook, is_new=True)
    may_reveal = admin.may_use(request, Action.REVEAL_SECRET, webhook)
    if request.method == "POST":
        if not may_reveal:
            raise PermissionDenied
        return _secret_page(admin, request, webhook, is_new=False)
    context = {"may_reveal": may_reveal, "may_change": admin.has_change_permission(request, webhook)}
    return admin.webhook_page(request, "reveal", webhook, title=_("Reveal the signing secret"), **context)


def rotate(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Ask for confirmation, and replace the secret. Submitting one form twice replaces it once."""
    webhook = admin.row_of(request, key)
    if not (admin.has_change_permission(request, webhook) and admin.may_use(request, Action.MANAGE, webhook)):
        raise PermissionDenied
    with transaction.atomic(using=router.db_for_write(Webhook)):
        # Locks the webhook's row before its related rows, in the same order as every other change.
        Webhook.objects.lock([webhook.pk])
        before = str(newest_secret(webhook) or "")
        if request.method == "POST" and request.POST.get("before", "") == before:
            overlap = timedelta() if END_OLD in request.POST else None
            secrets.rotate(webhook, overlap=overlap, **admin.by(request))
            remember_unseen(request, webhook)
            return admin.redirect("webhook_secret", webhook)
    if request.method == "POST":
        message = _("Another user replaced the secret. Check whether you still want to replace it.")
        admin.message_user(request, message, messages.WARNING)
        return admin.redirect("webhook_secret", webhook)
    hours = round(app_settings.SECRET_OVERLAP_SECONDS / 3600)
    title = _("Replace the signing secret")
    return admin.webhook_page(request, "rotate", webhook, title=title, before=before, hours=hours)


def _pop_unseen(request: HttpRequest, webhook: Webhook) -> bool:
    newest, unseen = newest_secret(webhook), request.session.get(UNSEEN, [])
    if newest in unseen:
        request.session[UNSEEN] = [key for key in unseen if key != newest]
    return newest in unseen


@sensitive_variables()
def _secret_page(admin: WebhookAdmin, request: HttpRequest, webhook: Webhook, *, is_new: bool) -> HttpResponse:
    try:
        with transaction.atomic(using=router.db_for_write(Webhook)):
            if is_new:
                secret = webhook.signing_secrets(timezone.now())[0]
            else:
                secret = secrets.reveal(webhook, **admin.by(request))
    except (SecretError, IndexError):
        message = _("The secret can't be decrypted with the configured keys. Rotate it.")
        admin.message_user(request, message, messages.ERROR)
        return admin.redirect("webhook_change", webhook)
    context = {"title": _("Signing secret"), "secret": secret, "is_new": is_new}
    return admin.webhook_page(request, "secret", webhook, **context)
