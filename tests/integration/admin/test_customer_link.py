"""A link of the host opens the customers' site once, for one user and one organization, and nothing else."""

import logging
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import include, path, reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.admin.conftest import operator
from tests.integration.admin.pages import shown_at, text_of
from tms_webhooks.admin import CustomerSite, customer_link
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import AuditEntry, IdempotentRequest, Webhook

__all__ = ["operator"]

LIST = "/customers/tms_webhooks/webhook/"


@pytest.fixture
def acme():
    return OrganizationFactory(name="Acme")


@pytest.fixture
def user(acme):
    """The administrator of Acme and of another firm; each has a webhook. The user is no staff."""
    user = UserFactory(username="casey", organization=acme)
    user.managed_organizations.set([acme, OrganizationFactory(name="Other")])
    for organization in user.managed_organizations.all():
        WebhookFactory(organization=organization, name=f"Hook of {organization.name}")
    return user


def test_a_link_opens_its_page_and_a_session_for_the_organization_only(client, user, acme):
    below = WebhookFactory(organization=OrganizationFactory(parent=acme), name="Hook below")

    opened = client.get(customer_link(user, acme, path="tms_webhooks/webhook/"))

    assert (opened.status_code, opened["Location"]) == (302, LIST)
    page = shown_at(client, LIST)
    assert "Hook of Acme" in page
    assert below.name in page
    assert "Hook of Other" not in page


def test_the_session_is_of_no_use_elsewhere(client, user, acme):
    user.is_staff = user.is_superuser = True
    user.save()
    client.get(customer_link(user, acme))

    assert client.get("/customers/").status_code == 200
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    assert client.get("/api/webhooks/").status_code == 401


def test_changes_are_recorded_for_the_user(client, user, acme):
    client.get(customer_link(user, acme))
    webhook = Webhook.objects.get(organization=acme)

    client.post(reverse("tms_webhooks_customers:tms_webhooks_webhook_action", args=[webhook.public_id, "disable"]))

    webhook.refresh_from_db()
    assert not webhook.enabled
    assert AuditEntry.objects.get().actor_id == str(user.pk)


# Once, for a minute


def refusal(client, link):
    """Open a link that is refused; return the text of the page."""
    response = client.get(link)
    assert response.status_code == 403
    assert "sessionid" not in response.cookies
    response.status_code = 200
    return text_of(response)


def test_a_link_is_refused_the_second_time_and_remembered_for_longer_than_it_is_valid(client, user, acme):
    link, now = customer_link(user, acme, max_age=600), timezone.now()
    assert client.get(link).status_code == 302

    assert "This link can't be used" in refusal(Client(), link)
    assert not IdempotentRequest.objects.outdated(now + timedelta(minutes=30)).exists()
    assert IdempotentRequest.objects.outdated(now + timedelta(days=2)).exists()


def test_a_link_that_is_old_changed_or_of_another_site_is_refused(client, user, acme, settings):
    now, link = timezone.now(), customer_link(user, acme)
    settings.ROOT_URLCONF = __name__
    elsewhere = "/customers/enter/?" + customer_link(user, acme, site="at_the_root").partition("?")[2]
    settings.ROOT_URLCONF = "example_project.urls"

    refusal(client, customer_link(user, acme, now=now - timedelta(seconds=61)))
    refusal(client, link[:-1] + ("A" if link[-1] != "A" else "B"))
    refusal(client, elsewhere)
    for token in ("", "x", "a:b:c", "é", "\x00", "x" * 5_000):
        assert client.get("/customers/enter/", {"token": token}).status_code == 403
    assert client.get(customer_link(user, acme, now=now - timedelta(seconds=50))).status_code == 302


@pytest.mark.parametrize("change", [{"disabled": True}, {"is_active": False}])
def test_a_user_who_may_not_sign_in_gets_no_session_and_loses_an_open_one(client, user, acme, change):
    client.get(customer_link(user, acme))
    link = customer_link(user, acme)
    type(user).objects.filter(pk=user.pk).update(**change)

    refusal(Client(), link)
    assert client.get("/customers/")["Location"].startswith("/login/")


def test_the_session_ends_at_its_time_however_it_is_used(client, user, acme):
    client.get(customer_link(user, acme))
    end = client.session.get_expiry_date()

    assert abs(end - timezone.now() - timedelta(hours=8)) < timedelta(minutes=5)
    assert client.session.get_expiry_date(modification=timezone.now() + timedelta(hours=7)) == end


def test_a_new_password_ends_the_session(client, user, acme):
    client.get(customer_link(user, acme))
    user.set_password("another")
    user.save()

    assert client.get("/customers/")["Location"].startswith("/login/")


def test_an_organization_that_the_policy_does_not_allow_shows_nothing(client, user):
    client.get(customer_link(user, OrganizationFactory(name="Foreign")))

    assert client.get("/customers/").status_code == 403


def test_a_browser_that_is_signed_in_as_the_user_keeps_its_session(client, user, acme):
    client.force_login(user)
    key = client.session.session_key

    assert client.get(customer_link(user, acme)).status_code == 302

    assert client.session.session_key == key
    assert "Hook of Other" in shown_at(client, LIST)


def test_a_browser_that_is_signed_in_as_another_user_is_asked_before_it_is_signed_out(operator, user, acme):
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = operator.cookies
    link = customer_link(user, acme)
    (token,) = parse_qs(urlsplit(link).query)["token"]
    for _ in range(2):
        asked = browser.get(link)
        assert asked.status_code == 200
        assert "If you continue, you are signed out." in text_of(asked)
        assert browser.get("/admin/").status_code == 200
    # The form posts to the URL of the page, so its origin has to be in the request, but not the token.
    assert asked["Referrer-Policy"] == "strict-origin"
    assert token not in asked.content.decode()
    assert browser.post(link).status_code == 403
    assert browser.get("/admin/").status_code == 200

    confirmed = browser.post(link, {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value})

    assert (confirmed.status_code, confirmed["Location"]) == (302, "/customers/")
    assert "Hook of Other" not in shown_at(browser, LIST)
    assert browser.get("/admin/").status_code == 302


# The token stays secret


def test_no_log_line_has_the_token_and_no_page_sends_it_on(client, user, acme, caplog):
    caplog.set_level(logging.DEBUG)
    link = customer_link(user, acme)
    (token,) = parse_qs(urlsplit(link).query)["token"]

    answers = [client.get(link), client.get(link), client.post(link), client.head(link)]

    assert [one.status_code for one in answers] == [302, 403, 403, 405]
    assert caplog.records
    assert not [record for record in caplog.records if token in f"{record.getMessage()} {vars(record)!r}"]
    for answer in answers[:3]:
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "no-store" in answer["Cache-Control"]
        assert token not in answer.content.decode()


# The host's mistakes


@pytest.mark.parametrize(
    "values, problem",
    [
        ({"path": "/admin/"}, "path is '/admin/', which leads out of the site at /customers/"),
        ({"path": "../admin/"}, "leads out of the site"),
        ({"path": "//example.com/"}, "leads out of the site"),
        ({"path": "https://example.com/"}, "leads out of the site"),
        ({"path": "%2e%2e/admin/"}, "leads out of the site"),
        ({"path": "tms_webhooks/.%2E/%2E./admin/"}, "leads out of the site"),
        ({"max_age": 601}, "max_age is 601; use at most 600 seconds."),
        ({"max_age": 0}, "max_age is 0"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_remedy(user, acme, values, problem):
    with pytest.raises(ValueError, match=problem):
        customer_link(user, acme, **values)


at_the_root = CustomerSite("at_the_root")
urlpatterns = [path("example/", include("example_project.urls")), path("", at_the_root.urls)]


@pytest.mark.parametrize("elsewhere", ["//example.com/", "/\t/example.com/", "/\\example.com/", "https:example.com"])
def test_a_link_of_a_site_at_the_root_leads_to_no_other_host(user, acme, settings, elsewhere):
    settings.ROOT_URLCONF = __name__

    with pytest.raises(ValueError, match="leads out of the site at /"):
        customer_link(user, acme, path=elsewhere, site="at_the_root")
    assert customer_link(user, acme, path="tms_webhooks/webhook/?q=a%2Fb", site="at_the_root")


def test_a_site_that_is_not_mounted_is_named_with_the_line_that_mounts_it(user, acme):
    with pytest.raises(ConfigurationError) as refused:
        customer_link(user, acme, site="partners")

    assert str(refused.value) == (
        "No CustomerSite with the name 'partners' is mounted. Add one line to your URLs: "
        "path(\"webhooks/\", CustomerSite('partners').urls). See docs/howto/customer-site.md."
    )


def test_an_anonymous_user_gets_no_link(acme):
    with pytest.raises(ValueError, match="use a user who is signed in"):
        customer_link(AnonymousUser(), acme)


def test_the_first_of_several_backends_loads_the_user_or_the_one_that_is_named(client, user, acme, settings):
    (own,) = settings.AUTHENTICATION_BACKENDS
    plain = "django.contrib.auth.backends.ModelBackend"
    settings.AUTHENTICATION_BACKENDS = [plain, own]
    user.disabled = True
    user.save()

    refusal(Client(), customer_link(user, acme, backend=own))
    assert client.get(customer_link(user, acme)).status_code == 302
    settings.AUTHENTICATION_BACKENDS = [own]
    assert client.get("/customers/")["Location"].startswith("/login/")
