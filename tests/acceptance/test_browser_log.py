"""The delivery log in a real browser: from a name to the answer, pages that refresh themselves, and a narrow screen."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.acceptance.browser import NARROW, WIDE
from tests.integration.delivery.rows import body_of, name_event, subscribed, write_delivery
from tests.receiver import Answer
from tms_webhooks.choices import AttemptResult, DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Job
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.slow

LOG = "/admin/tms_webhooks/delivery/"
NAME = "Anna Larsen · Azure Administrator, four days in Utrecht"
ROWS = "#result_list tbody tr"


@pytest.fixture
def webhook(world):
    return subscribed(name="HR system", organization=world.tenants[0].organization)


def about(delivery, name, *, kind="enrollment.enrolled", external_id="ENR-70031"):
    """Say what the event of a delivery is about."""
    values = {"type": kind, "body": body_of(kind), "subject_type": "enrollment", "external_id": external_id}
    name_event(delivery.event, name, occurred_at=timezone.now(), **values)


def failed(webhook, name=NAME, *, code=404, attempts=6):
    """Write a delivery that was given up."""
    now = timezone.now()
    done = {"due_at": None, "finished_at": now, "given_up_at": now, "attempts": attempts, "charged": attempts}
    delivery = write_delivery(webhook, now=now, status="exhausted", error_class="http_status", **done)
    about(delivery, name)
    for number in range(1, attempts + 1):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=number,
            started_at=now,
            duration_ms=120,
            status_code=code,
            error_class="http_status",
            message=f"HTTP {code} Not Found",
            response_headers="server: nginx\nx-request-id: 7f3a\nset-cookie: ••••",
            response_body='{"error": "no such hook"}',
            next_delay=None if number == attempts else 300.0,
            delay_reason="" if number == attempts else "schedule",
        )
    return delivery


def delivered(webhook, name, *, kind):
    """Write a delivery that the receiver accepted."""
    now = timezone.now() - timedelta(minutes=3)
    delivery = write_delivery(webhook, now=now, status="delivered", due_at=None, finished_at=now, attempts=1, charged=1)
    about(delivery, name, kind=kind, external_id="")
    DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=80, status_code=200)
    return delivery


def waiting(webhook, name="Bob Jones · Networks"):
    """Write a delivery that is retried in some minutes."""
    now = timezone.now()
    due = {"due_at": now + timedelta(minutes=12), "attempts": 2, "charged": 2, "error_class": "timeout"}
    delivery = write_delivery(webhook, now=now, status="waiting", **due)
    about(delivery, name, external_id="ENR-70044")
    return delivery


def finish(delivery):
    """Deliver it, as a worker does."""
    Delivery.objects.filter(pk=delivery.pk).update(
        status=DeliveryStatus.DELIVERED, due_at=None, finished_at=timezone.now(), error_class="", attempts=3
    )


def search(desk, term):
    """Type a term and press the button: the first click."""
    desk.open(LOG)
    desk.page.fill("#searchbar", term)
    desk.follow("#changelist-search button >> nth=0")


def test_a_name_leads_to_the_answer_in_two_clicks(desk, webhook):
    failed(webhook)
    delivered(webhook, "Bob Jones", kind="user.updated")
    waiting(webhook)

    search(desk, "larsen")
    assert desk.page.locator(ROWS).count() == 1
    # A click anywhere in the row opens it: the link of the first cell covers the others.
    with desk.page.expect_navigation():
        desk.page.click(f"{ROWS} >> td.field-when", force=True)

    assert desk.page.inner_text("#tms-health") == "Gave up after all retries: HTTP 404"
    assert "HTTP 404 Not Found" in desk.page.inner_text(".tms-health")
    assert NAME in desk.page.inner_text(".tms-details")
    desk.page.click("text=Response headers >> nth=0")
    assert "set-cookie: ••••" in desk.page.inner_text(".tms-attempt >> nth=0")
    desk.inspect("log-answer")


def test_an_administrator_sees_what_the_second_attempt_sent_after_the_url_was_changed_in_between(desk, world, receiver):
    organization = world.tenants[0].organization
    webhook = subscribed(
        name="HR system", organization=organization, url=f"{receiver.url}/old?key=0ld", headers="X-Team=north"
    )
    delivery = write_delivery(webhook, now=timezone.now())
    about(delivery, NAME)
    receiver.answers += [Answer(status=500, body=b"moved"), Answer(status=500, body=b"down")]
    Drain(fan_out=fan_out).run(until_idle=True)

    page = desk.open(f"{LOG}{delivery.public_id}/change/")
    assert f"POST {receiver.url}/old?key=••••" in page.inner_text(".tms-attempt >> nth=0")
    desk.follow(".tms-tabs >> text=Webhook")
    desk.follow(".tms-tabs >> text=Configuration")
    page.fill("#id_url", f"{receiver.url}/new")
    desk.save()
    desk.open(f"{LOG}{delivery.public_id}/change/")
    assert "The URL was changed after attempt 1." in page.inner_text("#tms-request ~ p >> nth=0")
    desk.inspect("sent-before")
    desk.follow("text=Try now")
    desk.follow("text=Yes, send")
    Drain(fan_out=fan_out).run(until_idle=True)
    desk.open(f"{LOG}{delivery.public_id}/change/")

    assert [request.path for request in receiver.received] == ["/hook/old?key=0ld", "/hook/new"]
    second, first = page.locator(".tms-attempt").all()
    assert f"POST {receiver.url}/new" in second.inner_text()
    assert "X-Team: ••••" in second.inner_text()
    assert f"webhook-timestamp: {receiver.received[1].headers['webhook-timestamp']}" in second.inner_text()
    assert receiver.received[1].body.decode() == second.locator(".tms-raw").text_content()
    assert "/old" not in first.inner_text()
    first.locator("summary >> nth=0").click()
    assert f"POST {receiver.url}/old?key=••••" in first.inner_text()
    desk.inspect("sent")
    desk.follow(".tms-tabs >> text=Event")
    assert delivery.event.public_id in page.inner_text(".tms-details")


def test_whether_the_crm_got_the_cancellation_of_a_class_is_seen_after_one_search(desk, webhook):
    crm = subscribed(name="CRM", organization=webhook.organization)
    for name, kind in (
        ("Gestión de Redes", "class.cancelled"),
        ("Introducción a la Gestión Ágil de Proyectos", "class.cancelled"),
    ):
        delivered(crm, name, kind=kind)

    search(desk, "proyectos agil gestion")

    assert desk.page.locator(ROWS).count() == 1
    text = " ".join(desk.page.inner_text(ROWS).split())
    assert text.startswith("Introducción a la Gestión Ágil de Proyectos enrollment:")
    assert "class.cancelled CRM Delivered HTTP 200 · 1 attempt" in text


def test_the_list_refreshes_itself_until_nothing_waits_and_boxes_work_on(desk, webhook):
    delivery = waiting(webhook)
    desk.page.clock.install()
    page = desk.open(LOG)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    assert page.inner_text(f"{ROWS} >> td.field-when").startswith("in 1")

    # It waits while a row is selected.
    page.check(f"{ROWS} >> input.action-select")
    finish(delivery)
    page.clock.fast_forward(6_000)
    assert page.query_selector(f"{ROWS} .tms-waiting") is not None
    assert asked == []

    page.uncheck(f"{ROWS} >> input.action-select")
    page.evaluate("document.activeElement.blur()")
    page.clock.fast_forward(6_000)
    page.wait_for_selector(f"{ROWS} .tms-delivered")

    assert page.query_selector("[data-tms-refresh]") is None
    page.check("#action-toggle")
    assert page.is_checked(f"{ROWS} >> input.action-select")
    assert "1 of 1 selected" in page.inner_text(".action-counter")


def test_the_log_fits_a_narrow_screen(desk, webhook):
    for number in range(3):
        failed(webhook, f"Anna Larsen · Azure Administrator, course {number}", attempts=1 + number)
        delivered(webhook, "Azure Administrator", kind="class.scheduled")
        waiting(webhook)

    desk.open(f"{LOG}?status__exact=exhausted")
    desk.inspect("log-filtered")
    desk.open(LOG)
    desk.inspect("log")

    desk.looks(width=WIDE)
    assert desk.page.locator("#changelist-filter").count() == 0
    assert desk.page.evaluate(
        "Array.from(document.querySelectorAll('#result_list tbody tr')).every(row => "
        "row.getBoundingClientRect().right <= document.documentElement.clientWidth)"
    )


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_row_has_two_lines_with_the_event_and_the_date_in_one_each(desk, webhook, settings, language):
    settings.LANGUAGE_CODE = language
    failed(webhook, "Maximilian Mustermann · Grundlagen der Betriebswirtschaftslehre in vier Tagen")
    delivered(webhook, "", kind="course_assignment.progressed")
    waiting(webhook)
    job = Job.objects.create(kind="cancel_pending", webhook=webhook, created_at=timezone.now())
    Delivery.objects.update(job=job.pk)
    lines = "all => all.map(one => one.getClientRects().length)"

    page = desk.open(f"{LOG}?job={job.public_id}")
    desk.inspect(f"log-{language}")

    heights = page.eval_on_selector_all(ROWS, "all => all.map(one => one.getBoundingClientRect().height)")
    assert max(heights) < 55
    assert set(page.eval_on_selector_all(f"{ROWS} .tms-whole", lines)) == {1}
    days = page.eval_on_selector_all(
        f"{ROWS} time .tms-small", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert max(days) < 20
    assert page.get_attribute(f"{ROWS} time", "title").endswith("UTC")
    # The label of a select is cut where the text needs more room than the box has.
    select = "one => { const copy = one.cloneNode(true); copy.style.width = 'auto'; one.after(copy); "
    select += "const missing = copy.offsetWidth - one.offsetWidth; copy.remove(); return missing; }"
    assert page.eval_on_selector("select[name=job]", select) <= 0
    desk.looks(width=NARROW)
    assert set(page.eval_on_selector_all(f"{ROWS} .tms-whole", lines)) == {1}
    assert page.eval_on_selector("select[name=job]", select) <= 0


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_overview_of_a_webhook_shows_the_whole_names_of_events(desk, webhook, width):
    delivered(webhook, "", kind="course_assignment.progressed")
    page = desk.open(f"/admin/tms_webhooks/webhook/{webhook.public_id}/overview/")

    desk.looks(width=width)

    hidden = (
        "all => all.map(one => one.getBoundingClientRect().right - one.closest('td').getBoundingClientRect().right)"
    )
    assert max(page.eval_on_selector_all("#tms-latest .tms-whole", hidden)) <= 0


def test_the_last_columns_of_wide_tables_are_in_sight(desk, webhook, settings):
    settings.LANGUAGE_CODE = "es"  # whose words are longer
    now = timezone.now()
    Job.objects.create(
        kind="replay_missed",
        webhook=webhook,
        total=10_000,
        done=10_000,
        status="finished",
        created_at=now,
        finished_at=now,
        requested_by="administrator@harborview.example.com",
    )

    failed(webhook)
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, AttemptResult.DELIVERED, 40)])()
    for path, box in {
        "delivery/": ".results",
        "job/": ".results",
        f"webhook/{webhook.public_id}/overview/": ".tms-figures-table",
    }.items():
        desk.open(f"/admin/tms_webhooks/{path}")
        hidden = desk.page.eval_on_selector_all(box, "all => all.map((one) => one.scrollWidth - one.clientWidth)")
        assert hidden
        assert set(hidden) == {0}, path
