"""Links that open a customers' site once, for users who have no session there.

The host's own page makes a link for a user that it has authenticated. The link opens a session for the site only. Its
backend is not in ``AUTHENTICATION_BACKENDS``, so the host's other pages and the API treat the user as anonymous.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlencode, urljoin

from django.conf import settings
from django.contrib import auth
from django.core import signing
from django.http import HttpRequest, QueryDict
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_variables

from tms_webhooks.conf import CUSTOMER_SITE
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import IdempotentRequest, Webhook
from tms_webhooks.models.audience import descendants
from tms_webhooks.models.idempotency import digest_of

LONGEST_AGE = timedelta(minutes=10)
PURPOSE = "tms_webhooks.customer_link"
"""The salt of the signatures, and the backend of the sessions."""
SESSION_KEY = "tms_webhooks_customer_link"


@sensitive_variables()
def customer_link(
    user: Any,
    organization: Any,
    *,
    path: str = "",
    max_age: float = 60,
    site: str = CUSTOMER_SITE,
    backend: str = "",
    now: datetime | None = None,
) -> str:
    """Return a URL without a host that opens a customers' site once, within ``max_age`` seconds, as a user.

    Args:
        user: The user whom your own page has authenticated.
        organization: The organization that the session shows, with those below it, if the access policy allows them.
        path: The page, below the site's index, such as "tms_webhooks/webhook/add/".
        site: The name of the `CustomerSite`.
        backend: The dotted path of the authentication backend that loads the user; by default the first of the project.

    Raises:
        ValueError: The user is anonymous or inactive, or the path leads out of the site. Or ``max_age`` is not above 0
            and at most 600.
        ConfigurationError: The project's URLs have no site of this name.
    """
    if not (user.is_authenticated and user.is_active):
        raise ValueError(f"customer_link got the user {user!r}; use a user who is signed in and active.")
    if not 0 < max_age <= LONGEST_AGE.total_seconds():
        raise ValueError(f"max_age is {max_age!r}; use at most {LONGEST_AGE.total_seconds():.0f} seconds.")
    index = _index_of(site)
    # As a browser finds it, which reads ``%2e%2e`` as two dots.
    url = urljoin(index, unquote(path))
    if not (url.startswith(index) and url_has_allowed_host_and_scheme(url, allowed_hosts=None)):
        raise ValueError(f"path is {path!r}, which leads out of the site at {index}; use a path below it.")
    link = {
        "id": uuid.uuid4().hex,
        "site": site,
        "user": user._meta.pk.value_to_string(user),
        "backend": backend or settings.AUTHENTICATION_BACKENDS[0],
        "organization": organization._meta.pk.value_to_string(organization),
        "path": path,
        "until": (now or timezone.now()).timestamp() + max_age,
    }
    return f"{reverse(f'{site}:enter')}?{urlencode({'token': signing.dumps(link, salt=PURPOSE)})}"


@sensitive_variables()
def open_session(request: HttpRequest, *, site: str, seconds: int, now: datetime) -> str | None:
    """Use the link of a request, and sign its user in; return the URL of the page, or "" if the link can't be used.

    A browser that is signed in as this user keeps its session. One that is signed in as another user confirms by a POST:
    an attacker may have sent the link. Until then, return None and leave the link.
    """
    token = request.GET.get("token", "")
    # Reports of exceptions have the query, and the token may not have been used yet.
    request.META["QUERY_STRING"], request.GET = "", QueryDict()
    try:
        link: dict[str, Any] = signing.loads(token, salt=PURPOSE)
    except signing.BadSignature:
        return ""
    user = _load_user(link)
    if link["site"] != site or now.timestamp() > link["until"] or user is None:
        return ""
    if request.method != "POST" and request.session.get(auth.SESSION_KEY, link["user"]) != link["user"]:
        return None
    if not IdempotentRequest.objects.use_once(digest_of(PURPOSE, link["id"]), now=now):
        return ""
    if request.user != user:
        auth.login(request, user, backend=PURPOSE)
        request.session[SESSION_KEY] = link
        # A time: each change of the session would begin the number of seconds again.
        request.session.set_expiry(now + timedelta(seconds=seconds))
    return urljoin(reverse(f"{site}:index"), link["path"])


def resume_session(request: HttpRequest, *, site: str) -> Collection[Any] | None:
    """Make the user of a session that a link opened the user of the request; return the keys of its organizations.

    Return None, and leave the request as it is, if no link of this site opened the session.
    """
    session = request.session
    link = session.get(SESSION_KEY)
    if link is None or session.get(auth.BACKEND_SESSION_KEY) != PURPOSE or link["site"] != site:
        return None
    user = _load_user(link)
    # Not after a new password.
    if user is None or not constant_time_compare(session.get(auth.HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    request.user = user
    organization: Any = Webhook._meta.get_field("organization").related_model
    return descendants([organization._meta.pk.to_python(link["organization"])], using=Webhook.objects.db)


def _index_of(site: str) -> str:
    """Return the path of a site's index; raise `ConfigurationError` if the project's URLs have no such site."""
    try:
        return reverse(f"{site}:index")
    except NoReverseMatch as error:
        name = "" if site == CUSTOMER_SITE else f"{site!r}"
        raise ConfigurationError(
            f"No CustomerSite with the name {site!r} is mounted. Add one line to your URLs: "
            f'path("webhooks/", CustomerSite({name}).urls). See docs/howto/customer-site.md.'
        ) from error


def _load_user(link: dict[str, Any]) -> Any:
    """Return the user of a link, or None if the host's backend lets the user not sign in."""
    if link["backend"] not in settings.AUTHENTICATION_BACKENDS:
        return None
    key = auth.get_user_model()._meta.pk.to_python(link["user"])
    user: Any = auth.load_backend(link["backend"]).get_user(key)
    return user if user is not None and user.is_active else None
