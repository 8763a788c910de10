"""Checks of the settings that a customers' site needs. They report nothing if the project's URLs mount none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_resolver, resolve, reverse

from tms_webhooks.access import SuperusersOnly, get_policy
from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.exceptions import ConfigurationError

COOKIES = ("SESSION_COOKIE_SAMESITE", "CSRF_COOKIE_SAMESITE")


def check_customer_site(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of a missing login page, of a policy that admits no customer, and of cookies that frames do not get."""
    return [*_check_login(), *_check_policy(), *_check_cookies()] if _is_mounted() else []


def _is_mounted() -> bool:
    if not (apps.is_installed("django.contrib.admin") and hasattr(settings, "ROOT_URLCONF")):
        return False
    from django.contrib.admin.sites import all_sites

    _ = get_resolver().url_patterns  # Imports the module that creates the sites.
    return any(getattr(site, "is_for_customers", False) and _has_urls(site.name) for site in all_sites)


def _has_urls(name: str) -> bool:
    try:
        return bool(reverse(f"{name}:index"))
    except NoReverseMatch:
        return False


def _check_login() -> Iterator[CheckMessage]:
    url = resolve_url(settings.LOGIN_URL)
    try:
        if url.startswith("/"):
            resolve(url.partition("?")[0])
    except Resolver404:
        yield message(
            "W098",
            f"The customers' site sends users to LOGIN_URL, which is {settings.LOGIN_URL!r}: the project has no such page.",
            hint="Set LOGIN_URL to your login page, as a path or as the name of a URL.",
        )


def _check_policy() -> Iterator[CheckMessage]:
    try:
        is_default = type(get_policy()) is SuperusersOnly
    except ConfigurationError:
        return  # another check reports it
    if is_default:
        yield message(
            "W096",
            "On the customers' site only the access policy decides, and the default policy admits only superusers.",
            hint=f"Set {SETTING_NAME}['ACCESS_POLICY'] to your own policy.",
        )


def _check_cookies() -> Iterator[CheckMessage]:
    kept = [name for name in COOKIES if getattr(settings, name) != "None"]
    if usable("FRAME_ANCESTORS") and kept:
        yield message(
            "W097",
            f"{SETTING_NAME}['FRAME_ANCESTORS'] lets other sites embed the customers' site, where browsers send it no "
            f"cookies: {' and '.join(kept)} {'is' if len(kept) == 1 else 'are'} not 'None'.",
            hint="Set them to 'None', and SESSION_COOKIE_SECURE and CSRF_COOKIE_SECURE to True. If the other sites are "
            "subdomains of the same domain, add the id of this warning to SILENCED_SYSTEM_CHECKS.",
        )
