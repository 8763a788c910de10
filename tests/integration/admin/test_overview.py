"""The overview of a webhook: its health, and figures from totals, in a constant number of queries."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.test_query_plans import analyze, explained
from tms_webhooks.choices import AttemptResult, DisabledReason, HoldReason
from tms_webhooks.models import Delivery, DeliveryTotal, Job, Webhook
from tms_webhooks.models.total import CountedAttempt


def overview(webhook):
    return reverse("admin:tms_webhooks_webhook_overview", args=[webhook.public_id])


def count(webhook, number, result, *, ms=100, ago=timedelta()):
    started_at = timezone.now() - ago
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, started_at, result, ms)] * number)()


# How it does

MISSED = "After you enable the webhook, send the missed events."
STATES = {
    "new": (
        lambda now: {},
        [
            "Idle Nothing has been delivered to it yet.",
            "Next steps Send a test . The page shows the response of the receiver. Wait for the first event.",
            "No one is notified when this webhook fails",
        ],
    ),
    "failing": (
        lambda now: {"failures": 3, "failing_since": now - timedelta(days=4)},
        [
            "Degraded 3 attempts in a row have failed since",
            "The webhook is disabled after 15 failures in a row and 5 days without a success. So far: 3 of 15 failures, 4 "
            "of 5 days.",
        ],
    ),
    "hook with an end": (
        lambda now: {"hook_of": "0:api:1", "expires_at": now.replace(hour=3, minute=7, second=8)},
        ["A program made this hook for itself. Without a refresh it lasts until", "03:07:08."],
    ),
    "hook without an end": (
        lambda now: {"hook_of": "0:api:1"},
        ["A program made this hook for itself. It has no end."],
    ),
    "enough failures, and almost five days": (
        lambda now: {"failures": 40, "failing_since": now - timedelta(days=4, hours=23)},
        ["So far: 15 of 15 failures, 4.9 of 5 days."],
    ),
    "paused": (
        lambda now: {
            "failures": 6,
            "failing_since": now,
            "pauses": 2,
            "paused_until": (now + timedelta(days=1)).replace(hour=3, minute=7, second=8),
        },
        ["Failing 6 attempts in a row have failed", "03:07:08 only retries that come due are sent, one at a time."],
    ),
    **{
        f"held-{reason}": (
            lambda now, reason=reason: {"held_until": now + timedelta(hours=1), "hold_reason": reason},
            ["Degraded The webhook is held until", words],
        )
        for reason, words in (
            (HoldReason.RETRY_AFTER, "because the receiver asked for it with 429 or Retry-After."),
            (HoldReason.KEYS, "because no encryption key decrypts its secrets."),
        )
    },
    **{
        f"disabled-{reason}": (
            lambda now, reason=reason: {"enabled": False, "disabled_reason": reason, "disabled_at": now},
            ["It has received no events since", words, MISSED],
        )
        for reason, words in (
            (DisabledReason.GONE, "410 Gone"),
            (DisabledReason.FAILING, "too often for too long"),
            (DisabledReason.RECEIVER_REQUESTED, "The receiver requested it"),
            (DisabledReason.ADMIN, "A user disabled it"),
            (DisabledReason.BLOCKED_TARGET, "leads to a blocked address"),
            ("", "No reason was recorded."),
        )
    },
}


@pytest.mark.parametrize("state", STATES)
def test_the_health_is_said_with_the_reason_and_what_follows(operator, state):
    values, expected = STATES[state]

    webhook = subscribed(**values(timezone.now()))
    if webhook.state.failures and not webhook.state.pauses:
        write_delivery(webhook, now=timezone.now(), status="waiting")

    text = shown_at(operator, overview(webhook))

    assert [words for words in expected if words not in text] == []


@pytest.mark.parametrize(
    "counts, expected",
    [
        ((20, 0, 0), "Healthy The last successful delivery was on"),
        ((20, 0, 0), "09:41:07."),
        (
            (837, 112, 51),
            "Degraded In this hour and the one before 83.7 % of the attempts were delivered. In the last 24 hours 51 "
            "deliveries were given up and not delivered since. In the last 24 hours 1 delivery was given up and delivered since.",
        ),
        ((837, 112, 51), "Success rate 83.7 % Attempts 1,000 Given up 51"),
        # Not quite all is not shown as all.
        ((9_999, 1, 0), "Success rate 99.9 %"),
    ],
)
def test_the_health_and_the_figures_beside_it_agree(operator, counts, expected):
    now = timezone.now()
    webhook = subscribed(succeeded_at=now.replace(hour=9, minute=41, second=7), failed_at=now if counts[2] else None)
    for status in counts[2] * ["exhausted"] + bool(counts[2]) * ["delivered"]:
        write_delivery(webhook, now=now, status=status, due_at=None, given_up_at=now)
    for number, result in zip(
        counts, (AttemptResult.DELIVERED, AttemptResult.RETRIED, AttemptResult.GIVEN_UP), strict=True
    ):
        count(webhook, number, result)

    assert expected in shown_at(operator, overview(webhook))


@pytest.mark.parametrize(
    "values, link",
    [
        ({}, "Send a test"),
        ({"failures": 6, "pauses": 2}, "See the last error"),
        ({"failures": 1}, "See the last error"),
        ({"enabled": False, "pauses": 2}, "Enable"),
    ],
)
def test_the_first_action_is_the_next_step_of_the_state(operator, values, link):
    webhook, now = subscribed(**values), timezone.now()
    write_delivery(webhook, now=now, error_class="timeout", status="exhausted", due_at=None)
    last = write_delivery(webhook, now=now, error_class="timeout", status="waiting", attempts=1)
    write_delivery(webhook, now=now)
    write_delivery(webhook, now=now, error_class="timeout", status="cancelled", due_at=None)

    row = operator.get(overview(webhook)).content.decode().split('class="tms-actions"')[1].split("</details>")[0]

    assert re.findall(r'class="button" href="[^"]*">([^<]*)<', row)[0] == link
    assert (url(Delivery, "change", last.public_id) in row) is (link == "See the last error")
    assert row.index("<details") < row.index("Recover")


@pytest.mark.parametrize(
    "values, codenames",
    [
        ({"pull_only": True, "url": ""}, ["change_webhook"]),
        ({"enabled": False}, ["view_delivery", "change_delivery"]),
        ({"enabled": False}, ["change_webhook"]),
        ({}, []),
    ],
    ids=["disable", "recover", "enable", "none"],
)
def test_the_menu_is_never_empty_and_disabling_is_always_in_it(staff, values, codenames):
    address = overview(subscribed(**values))

    page = staff("view_webhook", *codenames).get(address).content.decode()

    row, found, menu = page.split('class="tms-actions"')[1].split("</section>")[0].partition("<details")
    assert ("<li>" in menu) is bool(found)
    assert "/disable/" not in row
    assert ("/disable/" in menu) is ("pull_only" in values)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="Other databases may sort so few rows.")
def test_the_last_error_is_found_by_the_indexes_of_its_statuses(operator):
    webhook, now = subscribed(failures=6, pauses=2), timezone.now()
    for _ in range(100):
        write_delivery(webhook, now=now, error_class="timeout", status="waiting", attempts=1)
        write_delivery(webhook, now=now, status="delivered", due_at=None)
    analyze()

    with explained() as statements:
        operator.get(overview(webhook))

    found = [plan for sql, plan in statements.of(Delivery._meta.db_table) if "error_class" in sql.partition("WHERE")[2]]
    assert len(found) == 3
    for plan in found:
        assert re.search(r"USING INDEX tms_delivery_(retries|unsuccessful)\b", plan), plan
        assert "B-TREE" not in plan


def test_a_failing_webhook_without_a_failed_delivery_in_the_log_offers_a_test_first(operator):
    text = shown_at(operator, overview(subscribed(failures=6, pauses=2)))

    assert "See the last error" not in text
    assert "Send a test More" in text


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_new_webhook_shows_the_next_steps_and_no_figures_until_its_first_attempt(operator, attempts):
    webhook = subscribed(events=[])
    count(webhook, attempts, AttemptResult.DELIVERED, ago=timedelta(days=40))

    page = operator.get(overview(webhook))

    assert ("Next steps Select events . Without one, nothing is sent." in text_of(page)) is not attempts
    assert ("Latest deliveries" in text_of(page)) is bool(attempts)
    assert ('id="tms-overview" data-tms-refresh' in page.content.decode()) is not attempts
    assert "Success rate" not in text_of(page)


def test_the_list_marks_hooks_and_filters_them_once_there_are_some(operator):
    subscribed(name="CRM")
    assert "Only hooks" not in shown_at(operator, url(Webhook, "changelist"))
    subscribed(name="Payroll", hook_of="0:api:1")

    page = shown_at(operator, url(Webhook, "changelist"))
    names = {
        value: [
            row.name for row in operator.get(url(Webhook, "changelist"), {"hooks": value}).context["cl"].result_list
        ]
        for value in ("only", "without", "")
    }

    assert ("Payroll Hook" in page, "CRM Hook" in page, "<span" in page) == (True, False, False)
    assert names == {"only": ["Payroll"], "without": ["CRM"], "": ["CRM", "Payroll"]}


def test_a_webhook_without_contacts_says_so_and_links_to_the_field(operator):
    lonely, watched = subscribed(), subscribed(contacts="ops@example.com")
    sentence = "No one is notified when this webhook fails: it has no contacts."

    page = operator.get(overview(lonely))

    assert sentence in text_of(page)
    assert f'href="{url(Webhook, "change", lonely.public_id)}#id_contacts"' in page.content.decode()
    assert sentence not in shown_at(operator, overview(watched))


@pytest.mark.parametrize("page", ["recover", "enable", "delete", "secret", "compare", "explain"])
def test_the_title_of_each_page_of_a_webhook_begins_with_its_name(operator, page):
    webhook = subscribed(name="CRM & more", enabled=False)
    address = f"{overview(webhook)}{page}/"
    if page not in ("recover", "enable"):
        address = url(Webhook, page, webhook.public_id)

    title = operator.get(address).content.decode().partition("<title>")[2].partition("</title>")[0]

    assert re.match(r"CRM &amp; more \| [^|]+ \| ", title)


# Figures and charts


@pytest.fixture
def _stopped_clock(monkeypatch):
    """Keep the hour in which attempts are counted the last one of the chart."""
    moment = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: moment)


def test_rates_and_durations_are_those_of_a_day_and_of_a_month(operator):
    webhook, other = subscribed(), subscribed()
    count(webhook, 9, AttemptResult.DELIVERED)
    count(webhook, 1, AttemptResult.GIVEN_UP)
    count(webhook, 10, AttemptResult.RETRIED, ms=900, ago=timedelta(days=3))
    count(other, 100, AttemptResult.GIVEN_UP)

    day, _same, month = shown_at(operator, overview(webhook)).partition("Last 30 days")

    assert "Success rate 90 % Attempts 10 Given up 1" in day
    assert "Success rate 45 % Attempts 20 Given up 1" in month
    assert "10 attempts, 9 delivered." in day


@pytest.mark.usefixtures("_stopped_clock")
def test_a_chart_is_drawn_in_plain_numbers_and_has_a_text_alternative(operator, settings):
    webhook = subscribed()
    count(webhook, 3, AttemptResult.DELIVERED)
    count(webhook, 2, AttemptResult.GIVEN_UP, ms=900)
    markup = operator.get(overview(webhook)).content.decode()
    drawings = markup.split("<figure")[1:]

    assert len(drawings) == 2
    for drawing in drawings:
        assert 'role="img" aria-labelledby="title-' in drawing
        assert "<desc" in drawing
        assert "<td>3</td><td>0</td><td>2</td><td>147 ms</td><td>1.2 s</td>" in drawing
    assert "Delivered 3, Retried 0, Given up 2" in drawings[0]
    bar = 'class="tms-delivered" x="95.833" y="40.0" width="3.125" height="60.0"'
    assert bar in drawings[0]
    assert "<script>" not in markup.split('id="content-main"')[1]
    assert "style=" not in markup.split('id="content-main"')[1]
    settings.LANGUAGE_CODE = "de"
    assert bar in operator.get(overview(webhook)).content.decode()


def test_each_chart_names_its_figure_and_its_webhook(operator):
    webhook = subscribed(name="Data & more")
    count(webhook, 1, AttemptResult.DELIVERED)

    page = operator.get(overview(webhook)).content.decode()

    assert re.findall(r'<title id="[^"]*">([^<]*)<', page) == [
        "Attempts per hour of Data &amp; more",
        "Attempts per day of Data &amp; more",
    ]
    assert 'role="region" aria-label="Attempts per day of Data &amp; more, as a table"' in page


# What lies below it


def test_the_last_deliveries_lead_to_their_pages(operator):
    webhook = subscribed()
    delivery = write_delivery(webhook, now=timezone.now(), error_class="timeout")
    other = write_delivery(subscribed(), now=timezone.now())

    response = operator.get(overview(webhook))

    assert re.search(r"class.cancelled Pending Timed out due [0-9:]+", text_of(response))
    assert url(Delivery, "change", delivery.public_id) in response.content.decode()
    assert url(Delivery, "change", other.public_id) not in response.content.decode()


def test_a_job_shows_its_progress_until_its_deliveries_are_done(operator):
    webhook, now = subscribed(), timezone.now()
    refreshing = f'id="tms-running" data-tms-refresh="{overview(webhook)}"'
    job = Job.objects.create(kind="recover", webhook=webhook, total=6, done=3, created_at=now)

    markup = operator.get(overview(webhook)).content.decode()
    assert '<progress max="6" value="3" aria-label="Resend failed deliveries"></progress>' in markup
    assert refreshing in markup

    job.finish(now=now)
    for status, number in (("delivered", 3), ("exhausted", 2), ("pending", 1)):
        for _ in range(number):
            write_delivery(webhook, now=now, status=status, job=job.pk, due_at=now if status == "pending" else None)
    response = operator.get(overview(webhook))
    assert "Resend failed deliveries : Running" in text_of(response)
    assert "3 of 6, 3 delivered, 2 failed, 1 waiting" in text_of(response)
    assert f'href="{url(Delivery, "changelist")}?job={job.public_id}"' in response.content.decode()
    assert refreshing in response.content.decode()

    Delivery.objects.filter(status="pending").update(status="delivered", due_at=None)
    response = operator.get(overview(webhook))
    assert "Resend failed deliveries : Partly delivered" in text_of(response)
    assert refreshing not in response.content.decode()
    Job.objects.update(finished_at=now - timedelta(days=2))
    assert "<progress" not in operator.get(overview(webhook)).content.decode()


def test_a_job_that_was_not_counted_to_its_end_does_not_look_finished_while_it_runs(operator):
    webhook, now = subscribed(), timezone.now()
    job = Job.objects.create(kind="recover", webhook=webhook, total=10_001, created_at=now)
    assert job.advance(position=1, done=10_500)

    running = operator.get(overview(webhook))
    assert "Resend failed deliveries : Running" in text_of(running)
    assert "10,500 of 10,000+" in text_of(running)
    assert '<progress max="10500" aria-label' in running.content.decode()
    assert "10,500 of 10,000+" in text_of(operator.get(url(Job, "change", job.public_id)))
    assert "10500" not in text_of(operator.get(url(Job, "change", job.public_id)))

    job.finish(now=now)
    ended = operator.get(overview(webhook))
    assert "10,500 of 10,500" in text_of(ended)
    assert '<progress max="10500" value="10500"' in ended.content.decode()


def test_a_snapshot_is_counted_to_its_end(operator):
    webhook = subscribed()
    Job.objects.create(kind="snapshot", webhook=webhook, total=12_000, done=300, created_at=timezone.now())

    assert "300 of 12,000" in text_of(operator.get(overview(webhook)))


def test_deliveries_need_the_permission_to_view_the_log(staff):
    webhook = subscribed(failures=1)
    write_delivery(webhook, now=timezone.now(), error_class="timeout", status="waiting", attempts=1)

    text = shown_at(staff("view_webhook"), overview(webhook))

    assert [words for words in ("Latest deliveries", "Delivery log", "See the last error") if words in text] == []
