"""What a project with a customers' site needs: a login page, a policy of its own, and cookies in frames."""

from __future__ import annotations

import pytest
from django.urls import include, path

from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks.customer_site import check_customer_site


def without_policy(settings) -> None:
    settings.TMS_WEBHOOKS = {name: value for name, value in settings.TMS_WEBHOOKS.items() if name != "ACCESS_POLICY"}


def test_the_example_project_has_what_its_site_needs() -> None:
    assert check_customer_site() == []


urlpatterns = [path("api/", include("tms_webhooks.api.urls"))]
"""Those of a project without such a site."""


def test_a_project_without_such_a_site_needs_none_of_it(settings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.LOGIN_URL = "/accounts/login/"
    without_policy(settings)

    assert check_customer_site() == []


def test_a_login_url_that_leads_nowhere_is_reported(settings) -> None:
    settings.LOGIN_URL = "/accounts/login/"

    message = only(check_customer_site(), "W098")

    assert "LOGIN_URL, which is '/accounts/login/': the project has no such page." in message.msg


@pytest.mark.parametrize("login", ["https://sso.example.com/login", "login", "/login/?from=hooks"])
def test_a_login_page_of_the_project_or_elsewhere_is_accepted(settings, login: str) -> None:
    settings.LOGIN_URL = login

    assert check_customer_site() == []


def test_the_default_policy_is_reported(settings) -> None:
    without_policy(settings)

    assert "admits only superusers" in only(check_customer_site(), "W096").msg


@pytest.mark.parametrize("policy", ["nonsense", "tms_webhooks.models.Webhook"])
def test_a_policy_that_is_none_is_left_to_its_own_check(settings, policy: str) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ACCESS_POLICY": policy}

    assert check_customer_site() == []


def test_cookies_that_browsers_do_not_send_to_frames_are_reported(settings) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "FRAME_ANCESTORS": ["https://portal.example.com"]}

    message = only(check_customer_site(), "W097")
    assert "SESSION_COOKIE_SAMESITE and CSRF_COOKIE_SAMESITE are not 'None'" in message.msg
    settings.CSRF_COOKIE_SAMESITE = "None"
    assert "SESSION_COOKIE_SAMESITE is not 'None'" in only(check_customer_site(), "W097").msg
    settings.SESSION_COOKIE_SAMESITE = "None"
    assert ids(check_customer_site()) == []
