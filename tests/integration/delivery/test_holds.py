"""A webhook is held when its receiver defers with Retry-After, and when no encryption key decrypts its secrets."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from tests.integration.delivery.rows import distinct, subscribed, write_events
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.manage.webhooks import enable
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook, WebhookSecret
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.monitoring import liveness

DAY = timedelta(days=1)


def foreign(text):
    """Encrypt with a key that is not at hand."""
    return Sealed(Fernet(Fernet.generate_key()).encrypt(text.encode()).decode())


def states(webhook):
    """Return status, attempts and charged attempts of the webhook's deliveries, the oldest first."""
    return list(webhook.deliveries.order_by("pk").values_list("status", "attempts", "charged"))


@pytest.fixture
def deferred(alice, wire, due, clock):
    """Make a webhook with three deliveries whose receiver answers the first with this Retry-After."""

    def deferred(value, *, status=429, **fields):
        webhook = subscribed(**{"max_in_flight": 1, **fields})
        due(webhook, 3)
        wire.answers = [answer(status, {"retry-after": value})]
        assert len(alice.work()) == 1
        webhook.refresh_from_db()
        return webhook

    return deferred


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_the_whole_webhook_until_then(deferred, alice, bob, run, wire, clock, status):
    webhook, until = deferred("90", status=status), clock.now + timedelta(seconds=90)
    other = subscribed("/other")
    state = webhook.state
    assert (state.held_until, state.hold_reason, state.failures, state.failing_since) == (until, "retry_after", 0, None)
    assert (webhook.is_awake(clock.now), webhook.is_awake(until)) == (False, True)
    write_events(other.organization, 2)
    run()
    assert len(wire.to("/other")) == 2

    clock.advance(seconds=89.9)
    assert alice.claim() == bob.claim() == []
    clock.advance(seconds=0.1)
    run()
    assert states(webhook)[1:] == [("delivered", 1, 1)] * 2
    clock.advance(minutes=1)
    run()

    assert states(webhook)[0] == ("delivered", 2, 1)
    assert len(wire.to("/hook")) == 4


@pytest.mark.parametrize("value, held", [("0", timedelta(seconds=1)), ("999999999", DAY)])
def test_a_hold_takes_at_least_a_second_and_at_most_a_day(deferred, clock, value, held):
    webhook = deferred(value)

    assert webhook.state.held_until == clock.now + held
    assert max(webhook.deliveries.values_list("due_at", flat=True)) <= clock.now + DAY


def test_requests_in_flight_may_make_a_hold_longer_and_never_shorter(alice, wire, due, clock):
    webhook = subscribed(max_in_flight=3)
    due(webhook, 3)
    first, second, third = alice.claim()
    wire.answers = [answer(429, {"retry-after": seconds}) for seconds in ("60", "30", "90")]

    ends = []
    for request in (first, second, third):
        alice.write(alice.send(request))
        ends.append(Webhook.objects.get().state.held_until - clock.now)

    assert ends == [timedelta(seconds=seconds) for seconds in (60, 60, 90)]


def test_a_user_who_enables_a_webhook_ends_its_hold(deferred, alice, clock):
    webhook = deferred("600")

    enable(webhook, now=clock.now)

    assert (Webhook.objects.get().state.held_until, len(alice.claim())) == (None, 1)


# --- A wrong ENCRYPTION_KEYS ---


@pytest.fixture
def wrong_keys(settings):
    """Replace the encryption keys, so that no stored secret can be decrypted; return a function that puts them back."""
    before = settings.TMS_WEBHOOKS
    settings.TMS_WEBHOOKS = {**before, "ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}

    def repair():
        settings.TMS_WEBHOOKS = before

    return repair


@pytest.fixture
def webhooks():
    """Two webhooks with a secret each, and with events."""
    first = subscribed("/first")
    second = subscribed("/second", organization=first.organization)
    write_events(first.organization, 5)
    return first, second


def test_without_a_key_deliveries_wait_and_nothing_is_held_against_them(webhooks, wrong_keys, run, wire, clock):
    for _ in range(5):
        run()
        clock.advance(minutes=5)

    assert wire.requests == []
    for webhook in webhooks:
        assert {(status, charged) for status, _attempts, charged in states(webhook)} <= {
            ("waiting", 0), ("pending", 0),
        }  # fmt: skip
        webhook.refresh_from_db()
        assert (webhook.state.failures, webhook.enabled, webhook.state.hold_reason) == (0, True, "keys")
    log = DeliveryAttempt.objects.values_list("error_class", "delay_reason", "charged", "next_delay")
    assert set(log) == {("keys_missing", "breaker", False, 300.0)}
    # Few deliveries of a held webhook are tried, not each of them every five minutes.
    assert log.count() <= 5 * 2 * 2

    wrong_keys()
    run()
    clock.advance(minutes=5)
    run()
    assert all(distinct(webhook.deliveries, "status", "charged") == {("delivered", 1)} for webhook in webhooks)


def test_a_missing_key_is_reported_once_and_again_once_the_keys_were_right(
    webhooks, wrong_keys, run, clock, settings, caplog
):
    wrong = settings.TMS_WEBHOOKS
    for _ in range(4):
        run()
        clock.advance(minutes=5)
    assert caplog.text.count("No key decrypts") == 1
    wrong_keys()
    run()
    settings.TMS_WEBHOOKS = wrong
    clock.advance(hours=1)
    write_events(webhooks[0].organization, 1)
    run()

    assert caplog.text.count("No key decrypts") == 2


def test_health_says_that_a_key_is_missing(webhooks, wrong_keys, run, clock):
    run()
    found = liveness.read_liveness(now=clock.now)
    report = liveness.assess(found, max_lag=120.0, keeps_drains=False)

    assert (found.webhooks_without_keys, report.level) == (2, liveness.HealthLevel.STOPPED)
    assert "ENCRYPTION_KEYS" in report.stopped[-1]
    assert report.stopped[-1].endswith(
        "Each webhook is tried again within 300 s. To try one now: webhooks_replay now --webhook ID."
    )

    wrong_keys()
    clock.advance(minutes=5)
    run()
    clock.advance(minutes=2)
    assert liveness.read_liveness(now=clock.now).webhooks_without_keys == 0


def test_a_job_tries_a_webhook_immediately_after_the_key_is_back(webhooks, wrong_keys, run, clock):
    run()
    wrong_keys()
    run()
    assert not webhooks[0].deliveries.filter(status="delivered").exists()

    job = start_job(JobKind.SEND_NOW, webhooks[0], now=clock.now)
    replay.work_on(job, now=clock.now)
    run()

    assert set(webhooks[0].deliveries.values_list("status", flat=True)) == {"delivered"}
    assert not webhooks[1].deliveries.filter(status="delivered").exists()


def test_a_malformed_key_defers_as_well(webhooks, settings_of_app, run, wire):
    settings_of_app(ENCRYPTION_KEYS=["not a key"])

    run()

    assert wire.requests == []
    assert not Delivery.objects.exclude(status__in=("pending", "waiting")).exists()
    assert distinct(DeliveryAttempt, "error_class") == {"keys_missing"}


def test_a_key_that_was_removed_too_early_defers_what_it_encrypted(run, wire):
    webhooks = [subscribed(f"/{number}") for number in range(3)]
    for webhook in webhooks:
        write_events(webhook.organization, 1)
    for webhook in webhooks[:2]:
        WebhookSecret.objects.filter(webhook=webhook).update(value=foreign("whsec_lost"))

    run()

    assert [request.url for request in wire.requests] == [webhooks[2].url]
    assert [webhook.deliveries.get().status for webhook in webhooks] == ["waiting", "waiting", "delivered"]


def test_a_delivery_that_no_key_lets_out_for_a_week_is_given_up(webhooks, wrong_keys, run, clock):
    run()
    clock.advance(days=7)
    run()

    assert "exhausted" in {status for status, _attempts, _charged in states(webhooks[0])}
