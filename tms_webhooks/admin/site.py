"""The same pages on a site of their own, for administrators of organizations who are not staff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.backends.django import DjangoTemplates, Template
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from tms_webhooks.admin import links
from tms_webhooks.admin.bases import VISIT_KEY, CustomerVisit, allows_anywhere, permits
from tms_webhooks.admin.deliveries import DeliveryAdmin
from tms_webhooks.admin.events import EventAdmin
from tms_webhooks.admin.records import AuditLogAdmin, JobAdmin
from tms_webhooks.admin.webhooks import WebhookAdmin
from tms_webhooks.choices import Action
from tms_webhooks.conf import CUSTOMER_SITE, app_settings
from tms_webhooks.exception_reports import View, hide_values
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Webhook

PAGES = {
    Webhook: WebhookAdmin,
    Delivery: DeliveryAdmin,
    Event: EventAdmin,
    Job: JobAdmin,
    AuditEntry: AuditLogAdmin,
}
ACTIONS = {
    **{f"view_{model._meta.model_name}": Action.VIEW for model in PAGES},
    **dict.fromkeys(("add_webhook", "change_webhook", "delete_webhook"), Action.MANAGE),
    "change_delivery": Action.REPLAY,
}
"""The action of the access policy in place of each of Django's permissions. Without an action, an operation is denied."""
TEMPLATES = Path(__file__).resolve().parents[1] / "templates" / "tms_webhooks" / "customer_site"
BACKEND = "django.template.backends.django.DjangoTemplates"


class Permitted:
    """The ``perms.tms_webhooks`` of templates: each permission is looked up when a template asks for it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getitem__(self, codename: str) -> bool:
        return permits(self._request, codename)


class CustomerSite(AdminSite):
    """The pages of webhooks for customers. The access policy is the only authority; ``is_staff`` is not needed.

    Mount it above your own admin: ``path("webhooks/", CustomerSite().urls)``. Override the attributes in a subclass.

    Attributes:
        back_url: The page of the host to which the link in the header leads; empty for no link.
        back_label: The text of this link.
        logout_url: The host's URL that ends a session by a POST; empty for no button.
        templates: A directory with templates that replace others on this site only, such as ``admin/base_site.html``.
        link_session_seconds: The lifetime of a session that `customer_link` opens.
    """

    is_for_customers = True
    """For the system check, which does not import this module."""
    site_header = site_title = index_title = gettext_lazy("Webhooks")
    site_url = None
    index_template = "admin/tms_webhooks/app_index.html"
    back_url: str = ""
    back_label: Any = gettext_lazy("Back")
    logout_url: str = ""
    templates: Path | str = ""
    link_session_seconds = 8 * 3600

    def __init__(self, name: str = CUSTOMER_SITE) -> None:
        super().__init__(name)
        for model, pages in PAGES.items():
            self.register(model, pages)

    # Who may do what

    def has_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may view the webhooks of at least one organization."""
        return bool(request.user.is_active) and allows_anywhere(request, Action.VIEW)

    def permits(self, request: HttpRequest, codename: str) -> bool:
        """Return whether the policy allows the action of a permission in at least one organization."""
        action = ACTIONS.get(codename)
        return action is not None and allows_anywhere(request, action)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the variables of every page. ``perms`` is what the policy allows, in place of Django's permissions."""
        return {
            **super().each_context(request),
            "perms": {"tms_webhooks": Permitted(request)},
            "back_url": self.back_url,
            "back_label": self.back_label,
            "logout_url": self.logout_url,
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the entries of the index, in the order of `PAGES`."""
        apps = super().get_app_list(request, app_label)
        for app in apps:
            app["models"].sort(key=lambda entry: [*PAGES].index(entry["model"]))
        return apps

    # The pages

    def get_urls(self) -> list[Any]:
        """Return the pages, each of which asks for the host's login first."""
        # Django's "view on site" would show which objects of the host exist.
        patterns = [pattern for pattern in super().get_urls() if getattr(pattern, "name", None) != "view_on_site"]
        for pattern in _each(patterns):
            pattern.callback = self._protect(pattern.callback)
        return [path("enter/", hide_values(self.enter), name="enter"), *patterns]

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Redirect a signed-in user to the index. Other users were redirected to the host's login."""
        return HttpResponseRedirect(reverse(f"{self.name}:index"))

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Refuse: the host has its own."""
        raise Http404

    password_change = password_change_done = logout

    @method_decorator([never_cache, require_http_methods(["GET", "POST"]), csrf_protect])
    def enter(self, request: HttpRequest) -> HttpResponse:
        """Open a session by a link of `customer_link`, and redirect to its page. Another user confirms to be signed out."""
        url = links.open_session(request, site=self.name, seconds=self.link_session_seconds, now=timezone.now())
        # Without the context of other pages: the visitor may see nothing yet.
        context = {name: getattr(self, name) for name in ("site_title", "site_header", "back_url", "back_label")}
        if url:
            response: HttpResponse = HttpResponseRedirect(url)
        elif url is None:
            context["title"] = _("You are signed in as another user")
            response = TemplateResponse(request, "admin/tms_webhooks/link_confirm.html", context)
        else:
            context["title"] = _("This link can't be used")
            response = TemplateResponse(request, "admin/tms_webhooks/link_refused.html", context, status=403)
        # A form needs the origin in its POST; the rest of the URL is the token.
        response.headers["Referrer-Policy"] = "no-referrer" if url is not None else "strict-origin"
        self._finish(response)
        return response

    enter.login_required = False  # type: ignore[attr-defined]

    def _protect(self, view: View) -> View:
        """Return a view that begins with the visit and its login, and ends with the site's templates and headers."""

        @wraps(view)
        def protected(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            organizations = links.resume_session(request, site=self.name)
            setattr(request, VISIT_KEY, CustomerVisit(self.permits, organizations))
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not self.has_permission(request):
                raise PermissionDenied
            return self._finish(view(request, *args, **kwargs))

        # Django's LoginRequiredMiddleware does not know the sessions of links.
        protected.login_required = False  # type: ignore[attr-defined]
        return protected

    def _finish(self, response: Any) -> Any:
        if settings.DEBUG:
            self.__dict__.pop("_engine", None)  # A new one reads the templates that were changed.
        if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
            names: Any = response.template_name
            engine = self._engine.engine
            template = engine.select_template([names] if isinstance(names, str) else [*names])
            response.template_name = Template(template, self._engine)
        if app_settings.FRAME_ANCESTORS:
            response.headers["Content-Security-Policy"] = f"frame-ancestors {' '.join(app_settings.FRAME_ANCESTORS)}"
            response.xframe_options_exempt = True
        return response

    # Templates

    @cached_property
    def _engine(self) -> DjangoTemplates:
        """The project's template engine, with the directories of this site before its own."""
        options: dict[str, Any] = next(engine for engine in settings.TEMPLATES if engine["BACKEND"] == BACKEND)
        directories = [*filter(None, [self.templates]), TEMPLATES, *options.get("DIRS", [])]
        names = {"NAME": self.name, "DIRS": directories, "APP_DIRS": options.get("APP_DIRS", False)}
        return DjangoTemplates({**names, "OPTIONS": {**options.get("OPTIONS", {})}})


def _each(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _each(pattern.url_patterns)
        else:
            yield pattern
