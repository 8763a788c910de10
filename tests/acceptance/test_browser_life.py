"""The pages of a webhook in a real browser: wide and small, light and dark, and their refreshing parts."""

from datetime import timedelta

import pytest
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone

from tests.integration.admin.pages import CUSTOMERS, STAFF
from tests.integration.delivery.rows import body_of, subscribed, write_delivery
from tms_webhooks.actors import Actor
from tms_webhooks.admin.actions import WEBHOOK_ACTIONS
from tms_webhooks.choices import AttemptResult, AuditAction
from tms_webhooks.models import AuditEntry, Delivery, DeliveryAttempt, DeliveryTotal, Event, Job
from tms_webhooks.models.total import CountedAttempt

pytestmark = pytest.mark.slow

TYPES = ("class.cancelled", "enrollment.enrolled", "user.updated")
LIFE = "/admin/tms_webhooks/webhook/{}/overview/"


@pytest.fixture
def life(world):
    """A webhook with successes, failures, a running job, and deliveries of every status."""
    now = timezone.now()
    organization = world.tenants[0].organization
    webhook = subscribed(
        name="HR system",
        organization=organization,
        headers="Authorization=Basic aHVudGVyMg==",
        failures=6,
        failing_since=now - timedelta(hours=9),
        paused_until=now + timedelta(minutes=31),
        pauses=3,
    )
    subscribed(name="Narrow", organization=organization, events=["voucher.*"])
    DeliveryTotal.objects.addition(_attempts(webhook, now))()
    for number in range(30):
        _tell(webhook, number, now=now - timedelta(minutes=30 - number))
    Job.objects.create(kind="recover", webhook=webhook, total=10, done=3, status="running", created_at=now)
    return webhook


def _attempts(webhook, now):
    found = []
    for hours in range(24 * 30):
        bad = hours < 9
        for number in range(1 + hours * 7 % 5):
            result = AttemptResult.DELIVERED if not bad else list(AttemptResult)[1 + number % 2]
            found.append(CountedAttempt(webhook.pk, now - timedelta(hours=hours), result, 40 * (1 + hours * 3 % 11)))
    return found


def _tell(webhook, number, *, now):
    failed = number % 3 == 0
    values = {"status": "exhausted" if failed else "delivered", "error_class": "http_status" if failed else ""}
    delivery = write_delivery(webhook, now=now, due_at=None, finished_at=now, attempts=2, charged=2, **values)
    kind = TYPES[number % len(TYPES)]
    Event.objects.filter(pk=delivery.event_id).update(
        type=kind, body=body_of(kind), occurred_at=now, external_id="EX-1", subject_name="Anna Larsen · Azure basics"
    )
    for each in (1, 2):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=each,
            started_at=now,
            duration_ms=120,
            status_code=503 if failed else 200,
            error_class=values["error_class"],
            message="HTTP 503 Service Unavailable" if failed else "HTTP 200 OK",
            response_body="<html>down for repair</html>",
            next_delay=300.0 if each == 1 else None,
            delay_reason="schedule" if each == 1 else "",
        )


# Every page of each of the two sites, found by the patterns of their addresses

NO_PAGE = {
    *("login", "logout", "password_change", "password_change_done"),  # the host's
    *("jsi18n", "autocomplete", "tms_webhooks_webhook_objects"),  # for scripts
    *("tms_webhooks_webhook_filters", "tms_webhooks_webhook_filters_of"),  # a part of the form
    "enter",  # a link for one use, which test_browser_customer.py opens
    *(f"tms_webhooks_{log}_{verb}" for log in ("delivery", "event", "job", "auditentry") for verb in ("add", "delete")),
}
"""The names of addresses that show no page of their own."""
OF_THE_HOST = ("app_list", "training_organization_change")
"""Pages of the host's admin with parts of the app."""


def named_patterns(resolver):
    """Return the patterns with a name below a resolver."""
    found = []
    for one in resolver.url_patterns:
        found += named_patterns(one) if isinstance(one, URLResolver) else [one] if one.name else []
    return found


MODELS = ("webhook", "delivery", "event", "job", "auditentry")


def group_of(name):
    """Return the model whose page has this name, or "site"."""
    return next((model for model in MODELS if name.startswith(f"tms_webhooks_{model}_")), "site")


PATTERNS = {
    (site.namespace, one.name): one
    for site in get_resolver().url_patterns
    if getattr(site, "namespace", "") in (STAFF, CUSTOMERS)
    for one in named_patterns(site)
    if one.name not in NO_PAGE
    and (site.namespace == CUSTOMERS or one.name.startswith("tms_webhooks_") or one.name in OF_THE_HOST)
}
GROUPS = sorted({(site, group_of(name)) for site, name in PATTERNS})


@pytest.fixture
def rows(life):
    """A row of each model by its name, with all that a page shows."""
    course = life.organization.classes.first().course
    one = life.subscriptions.create(event_type="class.cancelled", filters={"course": [course.pk], "status_from": [1]})
    life.subscriptions.create(event_type="course_assignment.expiring", more_than_days=1, less_than_days=30)
    changes = {"filters": {"from": {}, "to": one.filters}, "condition": {"from": None, "to": {"data.id": 7}}}
    actor = Actor("administrator", "7", "Ann Administrator")
    entry = AuditEntry.objects.record(
        AuditAction.SUBSCRIPTION_UPDATED, one, actor=actor, now=timezone.now(), changes=changes
    )
    delivery = Delivery.objects.filter(status="exhausted").last()
    return {
        "organization": life.organization,
        "webhook": life,
        "delivery": delivery,
        "event": delivery.event,
        "job": Job.objects.get(),
        "auditentry": entry,
    }


def addresses_of(site, name, rows):
    """Return the addresses of the pages with this name."""
    parameters = PATTERNS[site, name].pattern.regex.groupindex
    given = {"app_label": "tms_webhooks", "object_id": rows["organization"].pk}
    if group_of(name) != "site":
        given["key"] = given["object_id"] = rows[group_of(name)].public_id
    slugs = [one.slug for one in WEBHOOK_ACTIONS] if "slug" in parameters else [""]
    query = f"?event={rows['event'].public_id}" if name.endswith("_explain") else ""
    return [
        reverse(f"{site}:{name}", kwargs={one: {**given, "slug": slug}[one] for one in parameters}) + query
        for slug in slugs
    ]


def show(desk, name, address):
    """Open a page, or post the form to one that takes it; return the status, and the address that it has then."""
    if "_preview" not in name:
        answer = desk.page.goto(address, wait_until="load")
    else:
        desk.open(address.replace("preview/", "change/" if name.endswith("_of") else "add/"))
        with desk.page.expect_navigation() as navigation:
            desk.page.evaluate("(address) => Object.assign(webhook_form, { action: address }).submit()", address)
        answer = navigation.value
    return answer.status, desk.page.url.removeprefix(desk.address)


@pytest.mark.parametrize("site, group", GROUPS)
def test_every_page_is_fit_to_be_seen(desk, world, rows, site, group):
    if site == CUSTOMERS:
        desk.remember(world.tenants[0].people.customer)
    names = [name for of, name in PATTERNS if of == site and group_of(name) == group]

    for name in names:
        for address in addresses_of(site, name, rows):
            assert show(desk, name, address) == (200, address)
            desk.inspect("-".join([site, *address.partition("?")[0].strip("/").split("/")[2:]]))
            charts = desk.page.eval_on_selector_all("svg[role=img] > title", "all => all.map((one) => one.textContent)")
            assert len(set(charts)) == len(charts)


def test_a_bar_moves_by_itself_and_stands_still_when_the_job_is_done(desk, life):
    page = desk.open(LIFE.format(life.public_id))
    assert page.get_attribute("progress", "value") == "3"
    assert not page.is_visible("text=Refresh")
    job = Job.objects.get()

    Job.objects.update(done=8)
    page.wait_for_selector('progress[value="8"]')
    job.finish(now=timezone.now())
    page.wait_for_selector(".tms-job.tms-finished")

    assert page.query_selector("[data-tms-refresh]") is None
