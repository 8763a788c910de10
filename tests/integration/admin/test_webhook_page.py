"""The page of a webhook: valid values, saved fields, enabling, disabling and deleting."""

import re
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.catalogue import all_types
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Subscription, Webhook, WebhookSecret
from tms_webhooks.models.encryption import reveal

PARTS = ["General", "Endpoint", "Events", "Retries and alerts", "Request", "Content", "Delivery", "Security"]


# Its home


def home(webhook):
    return reverse("admin:tms_webhooks_webhook_overview", args=[webhook.public_id])


@pytest.mark.parametrize(
    "page, current",
    [
        ("overview", "Overview"),
        ("change", "Configuration"),
        ("overview/test", "Overview"),
        ("overview/snapshot", "Overview"),
        ("overview/recover", "Overview"),
        ("compare", "Overview"),
        ("explain", "Overview"),
        ("secret", "Configuration"),
        ("secret/rotate", "Configuration"),
    ],
)
def test_each_page_of_a_webhook_has_its_name_the_same_tabs_and_a_way_to_its_overview(operator, page, current):
    webhook = subscribed(name="HR system", events=["class.*"])

    text = operator.get(f"/admin/tms_webhooks/webhook/{webhook.public_id}/{page}/").content.decode()
    tabs = text.split('class="tms-tabs"')[1].split("</nav>")[0]
    crumbs = text.split('class="breadcrumbs"')[1].split("</div>")[0]

    assert "<h1><bdi>HR system</bdi></h1>" in text
    assert re.findall(r"<a [^>]*>([^<]+)</a>", tabs) == ["Overview", "Configuration", "Delivery log", "Audit log"]
    assert re.findall(r'aria-current="(?:page|true)">([^<]+)<', tabs) == [current]
    assert (f'href="{home(webhook)}"' in crumbs) is (page != "overview")


@pytest.mark.parametrize("model", [Delivery, AuditEntry])
def test_the_breadcrumbs_of_a_log_of_a_webhook_lead_through_the_webhook(operator, model):
    webhook = subscribed(name="HR system")

    text = operator.get(url(model, "changelist"), {"webhook": webhook.public_id}).content.decode()
    crumbs = text.split('class="breadcrumbs"')[1].split("</div>")[0]

    assert re.findall('href="([^"]+)"', crumbs)[-2:] == [url(Webhook, "changelist"), home(webhook)]
    assert crumbs.rstrip().endswith(str(model._meta.verbose_name_plural).capitalize())


def test_every_list_leads_to_the_overview(operator):
    webhook = subscribed()
    write_delivery(webhook, now=timezone.now())
    Job.objects.create(kind="recover", webhook=webhook, created_at=timezone.now())
    AuditEntry.objects.record(AuditAction.WEBHOOK_TESTED, webhook, actor=SYSTEM, now=timezone.now())

    for model in (Webhook, Delivery, Job, AuditEntry):
        rows = operator.get(url(model, "changelist")).content.decode().split('id="result_list"')[1]
        assert f'href="{home(webhook)}"' in rows, model
    asked = operator.get(url(Webhook, "delete", webhook.public_id)).content.decode()
    assert f'href="{home(webhook)}"' in asked.split('class="breadcrumbs"')[1].split("</div>")[0]


# Adding


def test_the_form_has_its_parts_and_each_event_once(operator):
    OrganizationFactory()

    response = operator.get(url(Webhook, "add"))

    page = response.content.decode()
    assert [str(part.name) for part in response.context["adminform"]] == PARTS
    assert '<span class="tms-group-title">Class</span>' in page
    # Without a script there is no search.
    assert '<div class="tms-search" data-tms-script hidden>' in page
    assert 'data-tms-event="*"' in page
    assert 'data-tms-event="class.*"' in page
    assert "A class was cancelled: its status became Cancelled." in page
    for event_type in all_types():
        assert page.count(f'data-tms-event="{event_type.name}"') == event_type.offered


def test_a_new_webhook_is_written_with_its_subscriptions(operator):
    organization = OrganizationFactory()
    form = form_of(
        organization=organization.pk,
        headers="Authorization=Basic hunter2\nX-Key=1",
        schedule="5, 60 300",
        events=["class.cancelled", "course_assignment.expiring"],
    )

    response = operator.post(url(Webhook, "add"), form, follow=True)

    webhook = Webhook.objects.get()
    assert response.redirect_chain == [(reverse("admin:tms_webhooks_webhook_secret", args=[webhook.public_id]), 302)]
    assert (webhook.organization, webhook.name, webhook.enabled) == (organization, "CRM", True)
    assert reveal(webhook.headers) == "Authorization=Basic hunter2\nX-Key=1"
    assert webhook.schedule == [5, 60, 300]
    assert [one.event_type for one in webhook.subscriptions.all()] == ["class.cancelled", "course_assignment.expiring"]


@pytest.mark.parametrize(
    "text, schedule",
    [("", ""), ("skillable", "skillable"), ("none", "none"), ("[1.5, 60]", [1.5, 60]), ("5;60\t300", [5, 60, 300])],
)
def test_a_schedule_is_a_name_or_a_list(operator, text, schedule):
    operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, schedule=text))

    assert Webhook.objects.get().schedule == schedule


# Changing


def test_only_changed_fields_are_saved(operator):
    webhook = subscribed(headers="Authorization=Basic hunter2")
    values = {"name": "LMS", "max_retries": "3", "organization": OrganizationFactory().pk}

    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))

    assert response.status_code == 302
    assert AuditEntry.objects.get().changes.keys() == {"name", "max_retries"}
    organization = webhook.organization
    webhook.refresh_from_db()
    assert (webhook.name, webhook.max_retries) == ("LMS", 3)
    # Queued deliveries belong to it.
    assert webhook.organization == organization


# Actions


def act(client, action, *webhooks):
    data = {"action": action, "_selected_action": [webhook.public_id for webhook in webhooks]}
    return text_of(client.post(url(Webhook, "changelist"), data, follow=True))


# Deleting


def test_the_pages_that_confirm_a_deletion_say_what_ends_with_it(operator, clock):
    busy, idle = subscribed(name="CRM"), subscribed(name="LMS")
    for status in ("pending", "waiting"):
        write_delivery(busy, now=clock.now, status=status)
    write_delivery(busy, now=clock.now, status="delivered", due_at=None)
    for status in ("running", "finished"):
        Job.objects.create(kind="recover", webhook=busy, status=status, created_at=clock.now)
    effects = "Queued deliveries 2 Unfinished jobs 1"

    ends = "No new event is sent, queued deliveries are cancelled, and unfinished jobs end. URL, events, filters, retry schedule"
    consequences = (
        f"Ends {ends} and signing secret no longer apply: a new webhook gets a new secret. Stays The delivery log"
    )

    asked = "Delete this webhook? This can't be undone."
    assert f"{asked} CRM {effects} {consequences}" in shown_at(operator, url(Webhook, "delete", busy.public_id))
    assert f"{asked} LMS {consequences}" in shown_at(operator, url(Webhook, "delete", idle.public_id))
    text = act(operator, "delete_selected", busy, idle)
    assert f"Delete these webhooks? This can't be undone. CRM LMS {effects} {consequences}" in text
    operator.post(url(Webhook, "delete", busy.public_id), {"post": "yes"})
    assert list(operator.get(url(Webhook, "changelist")).context["cl"].result_list) == [idle]
    assert operator.get(url(Webhook, "change", busy.public_id)).status_code == 302


def test_an_organization_can_be_deleted_with_all_that_is_ours(operator, clock):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now)
    address = url(Organization, "delete", webhook.organization_id)

    assert "your account doesn't have permission" not in shown_at(operator, address)
    operator.post(address, {"post": "yes"})

    assert not Organization.objects.filter(pk=webhook.organization_id).exists()
    assert (Webhook.objects.count(), Event.objects.count(), Delivery.objects.count()) == (0, 0, 0)


# The list


@pytest.mark.parametrize("may_view_log", [False, True])
def test_the_last_delivery_is_listed_for_those_who_may_view_the_log(staff, clock, may_view_log):
    delivery = write_delivery(subscribed(), now=clock.now)
    client = staff("view_webhook", *["view_delivery"] * may_view_log)

    page = client.get(url(Webhook, "changelist")).content.decode()

    assert (f"?webhook={delivery.webhook.public_id}" in page) is may_view_log


def test_each_filter_of_the_list_offers_choices(operator):
    on, off = subscribed(), subscribed(enabled=False)

    page = operator.get(url(Webhook, "changelist"))

    assert [len(select["options"]) > 0 for select in page.context["selects"]] == [True] * 3
    for value, wanted in (("1", on), ("0", off)):
        page = operator.get(url(Webhook, "changelist"), {"enabled__exact": value})
        assert list(page.context["cl"].result_list) == [wanted]
        assert f'<option value="{value}" selected>' in page.content.decode()


def test_an_empty_list_says_how_to_begin(operator, staff):
    OrganizationFactory()
    address = url(Webhook, "changelist")
    begin = "No webhook yet A webhook sends the events of an organization to a URL. Add a webhook"

    page = operator.get(address)
    assert begin in text_of(page)
    assert f'<a class="button" href="{url(Webhook, "add")}">Add a webhook</a>' in page.content.decode()
    assert 'name="action"' not in page.content.decode()
    looking = staff("view_webhook").get(address)
    assert begin in text_of(looking)
    assert url(Webhook, "add") not in looking.content.decode()
    for query in ({"q": "b"}, {"enabled__exact": "0"}):
        text = shown_at(operator, address, query)
        assert "No webhook yet" not in text
        assert "None." in text


def test_the_list_shows_the_health_and_the_last_delivery_and_finds_by_name(operator, clock):
    subscribed(name="A")
    paused = subscribed(name="B", pauses=1, paused_until=timezone.now() + timedelta(hours=1))
    subscribed(name="C", enabled=False, disabled_reason="gone")
    write_delivery(paused, now=clock.now)
    finished = {"status": "failed", "due_at": None, "finished_at": timezone.now(), "error_class": "timeout"}
    write_delivery(paused, now=clock.now, **finished)
    organization = f"{paused.organization} of the northern and the southern region"
    Organization.objects.filter(pk=paused.organization_id).update(name=organization)

    page = operator.get(url(Webhook, "changelist"))
    for expected in (
        "A Idle receiver.example.com",
        "B Failing, paused until",
        "C Disabled: Gone",
        f"receiver.example.com {organization} Can't be retried Timed out {timezone.localtime():%H:}",
    ):
        assert expected in text_of(page)
    assert list(operator.get(url(Webhook, "changelist"), {"q": "b"}).context["cl"].result_list) == [paused]
    log = f"{url(Delivery, 'changelist')}?webhook={paused.public_id}"
    assert f'href="{log}"' in page.content.decode()
    assert {delivery.webhook for delivery in operator.get(log).context["cl"].result_list} == {paused}


# Headers


def test_names_of_headers_are_shown_and_their_values_are_dots(operator, staff):
    webhook = subscribed(headers="Authorization=Basic hunter2\nX-Key=s3cret")
    address = url(Webhook, "change", webhook.public_id)

    assert "Authorization=••••\nX-Key=••••</textarea>" in operator.get(address).content.decode()
    page = shown_at(staff("view_webhook"), address)
    assert "Current headers: Authorization, X-Key" in page
    assert "hunter2" not in page


@pytest.mark.parametrize("stored", ["no equals sign", "X-Key=1\nX-Key=2", "X-Key=s3cret"])
def test_unreadable_stored_headers_are_reported(operator, settings_of_app, stored):
    webhook = subscribed(headers=stored)
    if "s3cret" in stored:
        settings_of_app(ENCRYPTION_KEYS=[Fernet.generate_key().decode()])

    page = shown_at(operator, url(Webhook, "change", webhook.public_id))

    assert "They can't be read. Check the configured keys, or enter them again." in page
    assert stored.split("\n")[0] not in page


def test_a_form_that_is_sent_twice_adds_one_webhook(operator):
    organization = OrganizationFactory()
    keys = [operator.get(url(Webhook, "add")).context["form_key"] for _ in range(2)]
    form = form_of(organization=organization.pk, form_key=keys[0])
    operator.post(url(Webhook, "add"), {**form, "url": ""})
    assert not Webhook.objects.exists()

    answers = [operator.post(url(Webhook, "add"), form, follow=True) for _ in range(2)]

    webhook = Webhook.objects.get()
    assert answers[0].redirect_chain[0][0] == reverse("admin:tms_webhooks_webhook_secret", args=[webhook.public_id])
    assert "This form was submitted before." in text_of(answers[1])
    assert (Subscription.objects.count(), WebhookSecret.objects.count()) == (1, 1)
    operator.post(url(Webhook, "add"), {**form, "form_key": keys[1]})
    assert Webhook.objects.count() == 2


# The texts of the form


def test_each_fold_says_what_it_sets(operator):
    webhook = WebhookFactory(schedule="skillable", max_in_flight=1, ordered=True, headers="X-Key=1", enabled=False)

    parts = operator.get(url(Webhook, "change", webhook.public_id)).context["parts"]

    texts = {part["name"]: part["summary"] for part in parts if part["name"]}
    assert texts.pop("security").startswith("Secret created ")
    assert texts == {
        "retries": "6 attempts within 15 s; schedule: skillable; error action: Log",
        "request": "1 header; verb: POST; authentication: None",
        "content": "Format: Standard",
        "delivery": "Audience: Classes we run; blocking: Yes; max concurrent requests: 1",
    }


def test_a_webhook_may_begin_disabled(operator):
    operator.post(url(Webhook, "add"), form_of(organization=OrganizationFactory().pk, enabled=""))

    webhook = Webhook.objects.get()
    assert (webhook.enabled, webhook.disabled_reason) == (False, "admin")
    assert timezone.now() - webhook.disabled_at < timedelta(minutes=1)


def test_contacts_say_who_is_notified_now(operator, settings):
    own, others = WebhookFactory(contacts="ana@example.com\nluis@example.com"), WebhookFactory()
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CONTACTS": f"{__name__}.addresses"}
    pages = [url(Webhook, "change", one.public_id) for one in (own, others)]
    assert [shown_at(operator, page).partition("Notified now: ")[2][:41] for page in pages] == [
        "ana@example.com, luis@example.com, Slack ",
        "ops@example.com, Slack Request 0 headers;",
    ]
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CONTACTS": "", "NOTIFY": False}
    assert "Notified now: no one" in shown_at(operator, pages[0])


def addresses(_organization):
    """Return the addresses of an organization's contacts."""
    return {"email": ["ops@example.com"], "slack": "https://hooks.slack.com/services/T1"}
