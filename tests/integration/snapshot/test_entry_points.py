"""A snapshot is counted and started over the API, on the webhook's page and by a command, and bad input is refused."""

import json
import re

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from example_project.training.factories import TrainingClassFactory, UserFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.integration.api.conftest import acme, alice, client, policy, problem, restricted, stranger  # noqa: F401
from tests.integration.api.people import at
from tms_webhooks import digests, snapshot
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Delivery, Job


@pytest.fixture
def webhook(acme):  # noqa: F811
    TrainingClassFactory.create_batch(3, organization=acme)
    return WebhookFactory(organization=acme, events=["class.*", "course_assignment.completed"])


@pytest.fixture
def post(client, webhook):  # noqa: F811
    return lambda body: client.post(at(webhook, "snapshot"), body)


# The API


def test_all_stands_for_the_nouns_that_the_api_lists(post, client, webhook):  # noqa: F811
    listed = client.get(at(webhook, "snapshot")).json()["nouns"]

    assert listed == ["class", "course_assignment"]
    assert post({"nouns": "all"}).json()["jobs"][0]["nouns"] == listed


def test_a_snapshot_is_a_job_and_shows_its_progress(post, client, webhook, clock):  # noqa: F811
    response = post({"nouns": ["class"]})

    assert response.status_code == 202
    job = Job.objects.get()
    assert response["Location"].endswith(f"/api/jobs/{job.public_id}/")
    (data,) = response.json()["jobs"]
    assert (data["kind"], data["nouns"], data["total"], data["done"], data["status"]) == (
        "snapshot",
        ["class"],
        3,
        0,
        "pending",
    )
    assert AuditEntry.objects.get().changes == {"kind": "snapshot", "nouns": ["class"], "total": 3}
    while snapshot.work_on(job, now=clock.now):
        pass
    Delivery.objects.filter(pk=Delivery.objects.first().pk).update(status="delivered", due_at=None)

    running = client.get(f"/api/jobs/{job.public_id}/").json()

    assert (running["status"], running["done"], running["skipped"]) == ("running", 3, 0)
    assert running["deliveries"] == {"delivered": 1, "failed": 0, "skipped": 0, "cancelled": 0, "waiting": 2}
    assert [one["deliveries"] for one in client.get("/api/jobs/").json()["results"]] == [None]


@pytest.mark.parametrize(
    "nouns, code, detail",
    [
        (
            ["clas"],
            "unknown",
            'nouns: objects of "clas" can\'t be sent as a snapshot. This webhook can have: class, course_assignment. Did you '
            'mean "class"?',
        ),
        (
            ["class", "voucher"],
            "not_subscribed",
            'nouns: webhook {pk} has no subscription to events of "voucher"; add one, such as voucher.*, or leave it out. '
            "This webhook can have: class, course_assignment.",
        ),
    ],
)
def test_a_noun_that_can_not_be_sent_is_refused(post, webhook, problem, nouns, code, detail):  # noqa: F811
    data = problem(post({"nouns": nouns}), "invalid-request")

    (error,) = data["errors"]
    assert (error["pointer"], error["code"]) == ("#/nouns", code)
    assert error["detail"] == detail.format(pk=webhook.public_id)
    assert not Job.objects.exists()


@pytest.mark.parametrize("nouns", ["all", ["class"], ["clas"]])
def test_each_noun_is_refused_where_a_webhook_can_have_none(post, webhook, problem, nouns):  # noqa: F811
    webhook.subscriptions.all().delete()

    (error,) = problem(post({"nouns": nouns}), "invalid-request")["errors"]

    assert (error["pointer"], error["code"]) == ("#/nouns", "not_subscribed")
    text = f"nouns: webhook {webhook.public_id} subscribes to no events of objects that a snapshot can send."
    assert error["detail"] == text
    assert not Job.objects.exists()


@pytest.mark.parametrize("body", [{}, {"nouns": []}, {"nouns": "class"}, {"nouns": ["class"], "noun": "class"}])
def test_a_malformed_body_is_refused(post, problem, body):  # noqa: F811
    problem(post(body), "invalid-request")
    assert not Job.objects.exists()


def test_no_subscription_takes_the_type_of_a_snapshot_or_of_a_test(client, webhook, problem):  # noqa: F811
    for name in ("class.snapshot", "webhook.snapshot_completed", "webhook.test"):
        response = client.post(at(webhook, "subscriptions"), {"event_type": name})

        (error,) = problem(response, "invalid-request")["errors"]
        assert error["detail"].startswith(f"{name} is for one webhook only")


# The admin


@pytest.fixture
def operator():
    browser = Client()
    browser.force_login(UserFactory(username="root", organization=None, is_staff=True, is_superuser=True))
    return browser


@pytest.fixture
def page(webhook):
    return reverse("admin:tms_webhooks_webhook_action", args=[webhook.public_id, "snapshot"])


def test_the_page_offers_the_nouns_of_the_subscriptions_and_counts_all(operator, page):
    response = operator.get(page)

    text = response.content.decode()
    assert "3 objects will be sent." in text
    assert "To end the snapshot, disable the webhook: “Cancel queued deliveries” does not end it." in text
    assert "stops the others" not in text
    assert [f'value="{noun}"' in text for noun in ("class", "course_assignment", "voucher")] == [True, True, False]


def test_the_page_starts_the_job_that_was_counted(operator, page, webhook):
    assert "3 objects will be sent." in operator.get(page, {"nouns": ["class"]}).content.decode()

    response = operator.post(page, {"nouns": ["class"]}, follow=True)

    assert "Started a job for 3 deliveries." in response.content.decode()
    assert (Job.objects.get().nouns, Job.objects.get().webhook) == (["class"], webhook)
    assert AuditEntry.objects.get().action == AuditAction.JOB_STARTED


# The command


@pytest.fixture
def command(capsys, webhook):
    def run(*arguments):
        call_command("webhooks_snapshot", "--webhook", str(webhook.pk), *arguments)
        return capsys.readouterr().out

    return run


def test_the_command_counts(command):
    assert command("--noun", "class", "--dry-run") == "3 objects match; nothing was changed.\n"
    assert not Job.objects.exists()


def test_the_command_starts_a_job(command):
    facts = json.loads(command("--noun", "class", "--noun", "course_assignment", "--json"))

    job = Job.objects.get()
    assert facts == {"job": job.pk, "objects": 3, "status": "pending"}
    assert (job.nouns, job.requested_by) == (["class", "course_assignment"], "webhooks_snapshot")
    assert AuditEntry.objects.get().target == f"job:{job.public_id}"


def test_the_command_says_what_is_wrong_and_ends_with_2(command):
    with pytest.raises(CommandError, match='objects of "clas" can.t be sent as a snapshot') as caught:
        command("--noun", "clas")
    assert caught.value.returncode == 2


def test_the_command_sends_some_objects_alone(command, webhook):
    first, second, _third = TrainingClass.objects.values_list("pk", flat=True)

    facts = json.loads(command("--noun", "class", "--id", str(second), "--id", str(first), "--json"))

    assert (facts["objects"], Job.objects.get().selection) == (2, {"ids": sorted([str(first), str(second)])})


def test_the_command_sends_some_buckets_alone(command):
    numbers = {digests.bucket_of(str(key), 4) for key in TrainingClass.objects.values_list("pk", flat=True)}
    options = [part for number in numbers for part in ("--bucket", f"{number}/4")]

    assert command("--noun", "class", *options, "--dry-run") == "3 objects match; nothing was changed.\n"
    command("--noun", "class", *options)
    assert Job.objects.get().selection == {"buckets": sorted(numbers), "of": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id", "1", "--bucket", "0/4"], "argument --bucket: not allowed with argument --id"),
        (["--bucket", "4/4"], "argument --bucket: '4/4' is not a bucket, such as 0/64 to 63/64"),
        (["--bucket", "0/4097"], "argument --bucket: '0/4097' is not a bucket"),
        (["--bucket", "3"], "argument --bucket: '3' is not a bucket"),
        (["--bucket", "1/4", "--bucket", "1/8"], "The buckets must be of the same number, such as 3/64 and 7/64."),
        (["--noun", "course_assignment", "--id", "1"], "ids belong to one noun; name one, or leave ids out."),
    ],
)
def test_the_command_refuses_a_wrong_selection(command, options, message):
    with pytest.raises(CommandError, match=re.escape(message)):
        command("--noun", "class", *options)
    assert not Job.objects.exists()


# The function
