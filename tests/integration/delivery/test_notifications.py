"""People are notified when a webhook fails, fails for a day, is disabled or recovers: once each, in one digest."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from example_project.training.models import Organization
from tests import sweeps
from tests.integration.delivery.rows import disable, distinct, stored, subscribed, write_event, write_events
from tests.integration.delivery.wire import answer, broken
from tms_webhooks import tasks
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.db import clock as database_clock
from tms_webhooks.delivery import health, notices
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery, Notification, WebhookState
from tms_webhooks.outbox.erasure import erase

CONTACTS = "tests.integration.delivery.test_notifications.contacts_of_the_host"


def contacts_of_the_host(organization):
    return [f"admin@{organization.pk}.example.com", "second@example.com"]


def broken_contacts(organization):
    raise LookupError("no such directory")


@pytest.fixture
def notify(clock):
    """Notify after so many minutes, and send in this thread."""

    def notify(after=0):
        clock.advance(minutes=after)
        sweeps.notify(clock)

    return notify


@pytest.fixture
def record(notify, monkeypatch):
    """Record the notices, as a process does that is killed before it sends them."""

    def record(after):
        with monkeypatch.context() as patch:
            patch.setattr(notices, "send_due", lambda clock: None)
            notify(after)

    return record


@pytest.fixture
def failing(wire, run):
    """Make a webhook that has just failed for the first time, and is dead from then on."""

    def failing(**fields):
        wire.otherwise = 500
        webhook = subscribed(**{"contacts": "ann@example.com", **fields}, happened=1)
        run()
        webhook.refresh_from_db()
        assert webhook.state.failing_since is not None
        return webhook

    return failing


def kinds_sent():
    return list(Notification.objects.order_by("pk").values_list("kind", flat=True))


@pytest.mark.parametrize("path, name", [("external_id", "K-7"), ("name", "Acme"), ("absent", "Acme"), ("", "Acme")])
def test_the_subject_has_the_name_that_the_setting_maps(failing, clock, notify, settings_of_app, path, name):
    settings_of_app(ORGANIZATION_FIELDS={"name": path})
    failing(organization__name="Acme", organization__external_id="K-7")
    clock.advance(minutes=8)
    health.warn_all(clock.now)

    notify()

    assert [one.subject for one in mail.outbox] == [f"Webhooks of {name}: Failing (1)"]


# From failure to recovery


@pytest.fixture
def minute_by_minute(clock, run, notify):
    """Let time pass with a sweep each minute, or every three hours where it is long, and the drains in between."""

    def minute_by_minute(**duration):
        end = clock.now + timedelta(**duration)
        step = timedelta(minutes=1) if timedelta(**duration) <= timedelta(hours=1) else timedelta(hours=3)
        while clock.now < end:
            clock.now = min(clock.now + step, end)
            run()
            health.warn_all(clock.now)
            notify()

    return minute_by_minute


def test_an_outage_of_days_makes_exactly_four_mails(failing, minute_by_minute, clock, wire, run, settings_of_app):
    settings_of_app(DISABLE_AFTER_FAILURES=5, PAUSE_LONGEST_SECONDS=3_600.0)
    webhook = failing()

    minute_by_minute(minutes=6)
    assert mail.outbox == []
    minute_by_minute(minutes=2)
    assert [one.subject for one in mail.outbox] == [f"Webhooks of {webhook.organization}: Failing (1)"]

    minute_by_minute(hours=23)
    assert len(mail.outbox) == 1
    minute_by_minute(hours=2)
    assert [one.subject for one in mail.outbox[1:]] == [f"Webhooks of {webhook.organization}: Failing for a day (1)"]

    for _day in range(5):
        write_event(webhook.organization)
        minute_by_minute(hours=24)
    webhook.refresh_from_db()
    assert webhook.disabled_reason == DisabledReason.FAILING
    assert [one.subject for one in mail.outbox[2:]] == [f"Webhooks of {webhook.organization}: Disabled (1)"]
    assert "It failed too often for too long." in mail.outbox[2].body

    wire.otherwise = 200
    webhooks.enable(webhook, now=clock.now)
    write_event(webhook.organization)
    minute_by_minute(hours=5)

    assert [one.subject for one in mail.outbox[3:]] == [f"Webhooks of {webhook.organization}: Recovered (1)"]
    assert kinds_sent() == ["failing", "failing_for_a_day", "disabled", "recovered"]
    assert distinct(Notification, "status") == {"sent"}


def test_each_person_gets_one_mail_with_the_webhooks_that_concern_them(failing, notify):
    first = failing(name="HR", contacts="ann@example.com\nbob@example.com")
    failing(name="CRM", contacts="ann@example.com", organization=first.organization)
    failing(name="Elsewhere", contacts="carol@example.com")

    notify(after=9)

    found = {
        tuple(one.to): [name for name in ("HR", "CRM", "Elsewhere") if f"{name}\n" in one.body] for one in mail.outbox
    }
    assert found == {
        ("ann@example.com",): ["HR", "CRM"],
        ("bob@example.com",): ["HR"],
        ("carol@example.com",): ["Elsewhere"],
    }
    assert [one.subject.partition(": ")[2] for one in mail.outbox] == ["Failing (2)", "Failing (1)", "Failing (1)"]


def test_the_text_names_what_happened_since_when_what_waits_and_the_page(failing, clock, notify, settings_of_app):
    settings_of_app(ADMIN_URL="https://tms.example.com/admin/", ORGANIZATION_FIELDS={"time_zone": "time_zone_id"})
    clock.now = clock.now.replace(year=2026, month=11, day=2, hour=23, minute=30)
    webhook = failing(name="HR system")
    Organization.objects.update(time_zone_id="Central Standard Time")

    notify(after=9)

    (message,) = mail.outbox
    assert message.body == (
        "HR system\n"
        "Failing since Nov. 2, 2026, 17:30 (America/Chicago). No attempt has succeeded.\n"
        "Receiver: receiver.example.com\n"
        "1 attempt failed on Nov. 2, 2026, 17:30 (America/Chicago): HTTP 500.\n"
        "Deliveries that wait: 1\n"
        f"https://tms.example.com/admin/tms_webhooks/webhook/{webhook.public_id}/overview/\n\n"
        "You get one message for each change. The contacts are set in the webhook.\n\n"
    )
    ((html, kind),) = message.alternatives
    assert kind == "text/html"
    assert f'<a href="https://tms.example.com/admin/tms_webhooks/webhook/{webhook.public_id}/overview/"' in html
    assert "Failing since Nov. 2, 2026, 17:30 (America/Chicago)." in html
    assert message.extra_headers == {"Auto-Submitted": "auto-generated"}


def test_a_mail_has_no_path_header_secret_or_response_and_names_are_one_escaped_line(failing, notify, wire):
    wire.otherwise = answer(500, body=b"body-of-the-response")
    webhook = failing(
        path="/path-of-the-url?key=query-of-the-url",
        name="<b>Your account</b>\nBcc: everybody@example.com " + "x" * 100,
        headers="Authorization=value-of-the-header",
    )
    Organization.objects.filter(pk=webhook.organization_id).update(name="Acme\n" + "x" * 140)

    notify(after=9)

    (message,) = mail.outbox
    ((html, _kind),) = message.alternatives
    for text in (message.subject, message.body, html):
        assert not [part for part in ("path-of", "query-of", "value-of", "body-of", "whsec_") if part in text]
    assert message.subject == f"Webhooks of Acme {'x' * 74}…: Failing (1)"
    assert message.body.splitlines()[0] == f"<b>Your account</b> Bcc: everybody@example.com {'x' * 32}…"
    assert "&lt;b&gt;Your account&lt;/b&gt; Bcc:" in html
    assert "<b>" not in html


@pytest.mark.parametrize(
    "name, shown",
    [
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("HR\u00a0 \t system", "HR system"),
    ],
    ids=["Persian", "joined emoji", "blanks"],
)
def test_a_mail_has_names_as_they_are_written(failing, notify, name, shown):
    webhook = failing(name=name)
    Organization.objects.filter(pk=webhook.organization_id).update(name=name)

    notify(after=9)

    (message,) = mail.outbox
    assert message.subject == f"Webhooks of {shown}: Failing (1)"
    assert message.body.splitlines()[0] == shown


# Once for each change


def test_a_webhook_that_is_disabled_again_is_mailed_again(failing, clock, notify, wire, run):
    webhook = failing()
    for _time in range(2):
        clock.advance(minutes=1)
        disable(webhook, clock.now, "gone")
        notify(after=1)
        notify()
        webhooks.enable(webhook, now=clock.now)

    assert kinds_sent() == ["disabled", "disabled"]
    assert "The receiver answered 410 Gone: it does not want more requests." in mail.outbox[0].body


# Deliveries that are given up


@pytest.fixture
def give_up(run):
    """Have a webhook give up on so many events."""

    def give_up(webhook, number=1):
        write_events(webhook.organization, number)
        run()

    return give_up


@pytest.fixture
def notifying(wire):
    """Make a webhook with the error action "notify" that tries once and fails."""

    def notifying(**fields):
        wire.otherwise = 500
        defaults = {"error_action": ErrorAction.NOTIFY, "schedule": "none", "contacts": "ann@example.com"}
        return subscribed(**{**defaults, **fields})

    return notifying


def test_a_webhook_that_its_error_action_disables_says_so(notifying, give_up, notify):
    give_up(notifying(error_action=ErrorAction.DISABLE))

    notify()

    (message,) = mail.outbox
    assert "A delivery was given up, and its error action is to disable it." in message.body
    assert "too often" not in message.body


def test_a_rolled_back_batch_notifies_nobody(notifying, alice, due, monkeypatch, notify):
    due(notifying(), 1)
    (request,) = alice.claim()
    result = alice.send(request)

    def refuse(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr("tms_webhooks.delivery.health.WebhookState.save", refuse)
    with pytest.raises(RuntimeError):
        alice.write(result)
    notify()
    assert kinds_sent() == []
    monkeypatch.undo()

    alice.write(result)
    notify()

    assert kinds_sent() == ["given_up"]
    assert Delivery.objects.get().attempts == 1


# Stories: what happens to a webhook, minutes after minutes, and which notices are recorded


@pytest.fixture
def happen(failing, notifying, give_up, clock, notify, wire, run, due, settings_of_app):
    """Have the steps of a story happen to one webhook: "+9" lets 9 minutes pass, and "500" is the receiver's next answer."""
    webhooks_made = []

    def make(make_one, **fields):
        webhooks_made.append(make_one(**fields))

    steps = {
        "failing": lambda: make(failing),
        "failing-once": lambda: make(failing, schedule="none"),
        "notifying": lambda: make(notifying),
        "notifying-singly": lambda: make(notifying, max_in_flight=1),
        "logging": lambda: make(notifying, error_action=ErrorAction.LOG),
        "disabling": lambda: make(notifying, error_action=ErrorAction.DISABLE),
        "give-up": lambda: give_up(webhooks_made[0]),
        "give-up-3": lambda: give_up(webhooks_made[0], 3),
        "forget": lambda: WebhookState.objects.update(given_up_at=None),
        "resend": lambda: resend(webhooks_made[0].deliveries.get(), now=clock.now),
        "off": lambda: settings_of_app(NOTIFY=False),
        "blocked": lambda: setattr(wire, "otherwise", broken("blocked_address")),
        "old": lambda: due(webhooks_made[0], 3, created_at=clock.now.replace(year=2020)),
        "sweep": lambda: sweeps.give_up_old(clock.now),
        "run": run,
        "notify": notify,
    }

    def happen(story):
        for step in story.split():
            if step.startswith("+"):
                clock.advance(minutes=int(step))
            elif step.isdecimal():
                wire.otherwise = answer(int(step))
            else:
                steps[step]()
        return webhooks_made[0]

    return happen


@pytest.mark.parametrize(
    "story, kinds",
    [
        # A failure that ends within seven minutes
        ("failing 200 +1 run +30 notify", ""),
        ("off failing +1800 notify", ""),
        # A resend counts for no recovery and no failure.
        ("failing-once +9 notify 200 resend run +30 notify", "failing"),
        ("notifying give-up forget resend run notify", ""),
        # The first delivery that is given up is mailed at once, and the outage later.
        ("notifying-singly give-up-3 notify notify +9 notify", "given_up failing"),
        ("logging give-up notify", ""),
        ("disabling give-up notify", "disabled"),
        # After seven minutes without a failure, the next one is mailed, and no recovery.
        ("notifying give-up notify 200 +1 give-up notify +10 give-up notify 500 give-up notify", "given_up given_up"),
        # A fault of the operator's own is mailed until it has ended.
        ("notifying blocked give-up-3 notify", "given_up"),
        ("notifying old sweep notify", "given_up"),
    ],
)
def test_what_happens_to_a_webhook_makes_these_notices(happen, story, kinds):
    happen(story)

    assert kinds_sent() == kinds.split()


# Who is notified


def test_without_any_contacts_those_of_the_hosts_function_are_notified(failing, notify, settings_of_app):
    settings_of_app(CONTACTS=CONTACTS)
    webhook = failing(contacts="")

    notify(after=9)

    assert [message.to for message in mail.outbox] == [
        [f"admin@{webhook.organization_id}.example.com", "second@example.com"]
    ]


@pytest.mark.parametrize(
    "path", ["", "tests.integration.delivery.test_notifications.broken_contacts", "no.such.function"]
)
def test_where_no_contacts_are_known_the_log_and_the_row_say_so_once(failing, notify, settings_of_app, caplog, path):
    settings_of_app(CONTACTS=path)
    webhook = failing(contacts=" \n")

    notify(after=9)
    notify()

    row = Notification.objects.get()
    assert (row.kind, row.status, row.error) == ("failing", "failed", "No contacts are known.")
    assert mail.outbox == []
    assert f"webhook={webhook.pk} kind=failing: the notice has no recipients, no contacts are known" in caplog.text
    assert (f"CONTACTS failed for organization={webhook.organization_id}." in caplog.text) == bool(path)


# What goes wrong


def test_a_mail_that_fails_is_sent_again_some_times_and_then_given_up(failing, clock, notify, monkeypatch, caplog):
    tries = []

    def refuse(self, *args, **kwargs):
        tries.append(self.to)
        raise ConnectionRefusedError(f"mail.example.com:25 refuses {self.to[0]}")

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse)
    failing()
    notify(after=9)
    row = Notification.objects.get()
    assert (row.status, row.error) == ("pending", "ConnectionRefusedError")
    assert row.due_at == clock.now + timedelta(seconds=60)

    for seconds in notices.RETRY_SECONDS:
        notify()
        clock.advance(seconds=seconds)
        notify()
    clock.advance(days=1)
    WebhookState.objects.update(failing_since=clock.now)
    notify()

    assert stored(row, "status", "attempts", "due_at") == ("failed", 5, None)
    assert len(tries) == 5
    assert "notification not sent" in caplog.text
    assert tries[0][0] not in caplog.text


def test_one_mail_that_fails_does_not_stop_the_others(failing, notify, monkeypatch):
    original = EmailMultiAlternatives.send

    def refuse_one(self, *args, **kwargs):
        if self.to == ["broken@example.com"]:
            raise OSError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(EmailMultiAlternatives, "send", refuse_one)
    first = failing(contacts="broken@example.com")
    failing(contacts="sound@example.com", organization=first.organization)

    notify(after=9)

    assert [message.to for message in mail.outbox] == [["sound@example.com"]]


def test_a_message_whose_process_was_killed_is_not_sent_again(failing, clock, notify, record):
    failing()
    record(after=9)
    row = Notification.objects.get()
    Notification.objects.update(status="sending", due_at=None, attempts=1)
    clock.advance(hours=5)

    notify()

    assert mail.outbox == []
    assert stored(row, "status") == "sending"


def test_a_mail_whose_recipients_were_erased_ends(failing, clock, notify, record):
    failing(contacts="ann@example.com")
    record(after=9)
    erase("7", now=clock.now, names=["ann@example.com"])

    notify()

    row = Notification.objects.get()
    assert (row.status, row.recipients, row.error) == ("failed", "", "The recipients were erased.")
    assert mail.outbox == []


# What it costs


def test_a_run_without_notices_is_three_queries(django_assert_num_queries, failing, notify):
    subscribed()
    failing()

    with django_assert_num_queries(3):
        notify()


def test_the_sweep_notifies(failing, clock, monkeypatch):
    failing()
    monkeypatch.setattr(database_clock, "measured_now", clock)
    monkeypatch.setattr("tms_webhooks.tasks.enqueue", lambda *args: None)
    monkeypatch.setattr(notices, "in_background", lambda work: work())
    clock.advance(minutes=9)

    tasks.sweep()

    assert len(mail.outbox) == 1
