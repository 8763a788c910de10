"""Systems that answer each other's news with changes come to rest, and nobody else misses anything."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.utils import timezone
from standardwebhooks import Webhook as Verifier

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.integration.audience.world import enrolled, listening, missed_by, organizations
from tms_webhooks.chains import HEADER, Chain, chain_context, current_chain, seal
from tms_webhooks.choices import DeliveryStatus, ErrorClass, Verdict
from tms_webhooks.delivery import replay
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.routing.explain import explain

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.integration.capture.views")]

STRANGER = "40"


@pytest.fixture
def training_class():
    return TrainingClassFactory()


def answering(run, wire, change) -> int:
    """Let the receivers answer each request with a change; return how many requests that were in the end."""
    answered = 0
    for _round in range(30):
        run()
        if len(wire.requests) == answered:
            return answered
        for request in wire.requests[answered:]:
            answered += 1
            with chain_context(request.headers[HEADER]):
                change(request)
    raise AssertionError("it goes on for ever")


def test_a_receiver_that_answers_with_a_change_hears_of_six_and_the_seventh_is_kept(training_class, run, wire):
    webhook = listening(training_class.organization)

    def rename(_request) -> None:
        row = TrainingClass.objects.get(pk=training_class.pk)
        row.name += "!"
        row.save()

    rename(None)
    requests = answering(run, wire, rename)

    assert requests == 6
    assert list(Event.objects.order_by("pk").values_list("chain_depth", flat=True)) == [0, 1, 2, 3, 4, 5, 6]
    last = Delivery.objects.order_by("event_id").last()
    assert (last.status, last.error_class, last.attempts, last.due_at) == ("skipped", ErrorClass.LOOP, 0, None)
    explanation = explain(webhook, last.event)
    assert explanation.verdict == Verdict.HELD
    (loop,) = [clause for clause in explanation.clauses if clause.name == "loop"]
    assert loop.sentence.startswith("It is one of a chain of 6 events that receivers of this organization, too,")


def test_two_organizations_that_answer_each_other_come_to_rest_and_a_third_hears_all_of_it(run, wire):
    world = organizations()
    enrollment = enrolled(world["academy"], world["globex"])
    listening(world["academy"], url="https://academy.example.com/")
    listening(world["globex"], "learner", url="https://globex.example.com/")
    above = listening(world["headquarters"], children=True, url="https://headquarters.example.com/")

    def waver(request) -> None:
        if request is not None and "headquarters" in request.url:
            return
        row = type(enrollment).objects.get(pk=enrollment.pk)
        row.grade = (row.grade or 0) + 1
        row.enrollment_status_id = 70 - row.enrollment_status_id
        row.save()

    waver(None)
    requests = answering(run, wire, waver)

    held = Delivery.objects.filter(error_class=ErrorClass.LOOP)
    assert {delivery.webhook.organization_id for delivery in held} == {world["academy"].pk, world["globex"].pk}
    # Whoever made no link of it gets every one.
    assert above.deliveries.filter(status=DeliveryStatus.DELIVERED).count() == Event.objects.count()
    assert requests < 500


@pytest.mark.parametrize("path", ["cancel", "cancel-asynchronously"])
def test_a_request_that_passes_the_header_on_makes_a_link_of_the_chain(training_class, client, path, run, wire):
    own = str(training_class.organization_id)
    listening(training_class.organization)
    header = seal(Chain(5, (own,)).by(own), now=timezone.now())

    client.get(f"/{path}/{training_class.pk}/", headers={HEADER: header})
    run()

    event = Event.objects.get()
    assert (event.chain_depth, event.chain) == (6, f"6:{own}")
    assert (Delivery.objects.get().status, wire.requests) == (DeliveryStatus.SKIPPED, [])
    assert HEADER not in event.body
    assert "chain" not in event.body


def test_an_asynchronous_request_does_so_too(training_class):
    listening(training_class.organization)
    header = seal(Chain(2, ("7",)), now=timezone.now())

    async_to_sync(AsyncClient().get)(f"/cancel-asynchronously/{training_class.pk}/", headers={HEADER: header})

    event = Event.objects.get()
    assert (event.chain_depth, event.chain) == (2, "2:7")


def test_the_next_request_is_no_link_of_it(training_class, client):
    listening(training_class.organization)
    client.get(f"/cancel/{training_class.pk}/", headers={HEADER: seal(Chain(2, ("7",)), now=timezone.now())})
    training_class.refresh_from_db()
    training_class.complete()

    assert list(Event.objects.order_by("pk").values_list("chain_depth", flat=True)) == [2, 0]


@pytest.mark.parametrize("header", ["9:12", "rubbish", "", "9:12,31:5:abc"])
def test_a_header_that_is_not_ours_keeps_nothing_from_anybody(training_class, client, header, run, wire):
    listening(training_class.organization)

    client.get(f"/cancel/{training_class.pk}/", headers={HEADER: header})
    run()

    assert (Event.objects.get().chain_depth, len(wire.requests)) == (0, 1)


def test_a_chain_of_others_that_is_passed_on_keeps_nothing_from_those_who_are_not_in_it(
    training_class, client, run, wire
):
    """Whoever gets a long chain, and passes it on with changes of all kinds, keeps these from themselves alone."""
    listening(training_class.organization)
    stolen = seal(Chain(99, (STRANGER, f"{training_class.organization_id}0")), now=timezone.now())

    client.get(f"/cancel/{training_class.pk}/", headers={HEADER: stolen})
    run()

    assert (Event.objects.get().chain_depth, len(wire.requests)) == (99, 1)


def test_what_was_held_back_is_not_replayed_with_what_was_missed_but_can_be_sent_by_hand(
    training_class, run, wire, clock
):
    own = str(training_class.organization_id)
    webhook = listening(training_class.organization)
    with chain_context(seal(Chain(6, (own,)), now=timezone.now())):
        training_class.cancel()
    run()
    assert missed_by(webhook) == []

    replay.resend(Delivery.objects.get(), now=clock.now)
    run()

    assert len(wire.requests) == 1


def test_filters_count_in_chains_too(training_class, run, wire):
    own = str(training_class.organization_id)
    webhook = listening(training_class.organization, events=[])
    for wanted in (0, training_class.pk):
        webhook.subscriptions.create(event_type="class.*", filters={"class": [wanted]})
    with chain_context(seal(Chain(6, (own,)), now=timezone.now())):
        training_class.cancel()
        TrainingClassFactory(organization=training_class.organization)
    run()

    assert Delivery.objects.get().error_class == ErrorClass.LOOP
    assert wire.requests == []


def test_every_attempt_carries_the_chain_and_no_signature_depends_on_it(training_class, run, wire):
    own = str(training_class.organization_id)
    listening(training_class.organization)
    training_class.cancel()

    run()

    (request,) = wire.requests
    with chain_context(request.headers[HEADER]):
        assert current_chain() == Chain(1, (own,))
    (secret,) = Webhook.objects.get().signing_secrets(timezone.now())
    bare = {name: value for name, value in request.headers.items() if name != HEADER}
    assert Verifier(secret).verify(request.body, bare)
