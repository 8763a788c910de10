"""The digests of the objects that a webhook receives, one by one and in buckets."""

import hashlib

import pytest

from example_project.training.factories import ClassEnrollmentFactory, OrganizationFactory, TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.integration.api.people import at, errors_of
from tests.outbox import number_events
from tms_webhooks import comparison, snapshot


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, events=["class.*"])


@pytest.fixture
def classes(acme):
    return TrainingClassFactory.create_batch(5, organization=acme)


def pages(client, url, **query):
    """Return the answers of all pages."""
    found = []
    while url is not None:
        response = client.get(url, {} if found else query)
        assert response.status_code == 200, response.content
        found.append(response.json())
        url = found[-1]["next"]
    return found


def objects(client, webhook, **query):
    """Return the objects of all pages, with the digests by their ids."""
    rows = [row for page in pages(client, at(webhook, "objects"), **query) for row in page["results"]]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["digest"] for row in rows}


def buckets(client, webhook, **query):
    """Return the buckets of all pages."""
    return [one for page in pages(client, at(webhook, "digests"), **query) for one in page["results"]]


def bucket_of(key, number):
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % number


def test_each_object_is_listed_with_its_ids_and_its_digest(client, webhook, classes):
    (page,) = pages(client, at(webhook, "objects"), noun="class")

    rows = page["results"]
    assert [(row["id"], row["external_id"]) for row in rows] == [(str(one.pk), one.external_id) for one in classes]
    assert all(row.keys() == {"id", "external_id", "digest"} for row in rows)
    assert len({row["digest"] for row in rows}) == 5


def test_a_change_of_an_object_changes_its_digest_and_that_of_its_bucket_alone(client, webhook, classes):
    before, buckets_before = objects(client, webhook, noun="class"), buckets(client, webhook, noun="class", buckets=8)

    TrainingClass.objects.filter(pk=classes[2].pk).update(name="Renamed")

    after, buckets_after = objects(client, webhook, noun="class"), buckets(client, webhook, noun="class", buckets=8)
    key = str(classes[2].pk)
    assert {one for one in after if after[one] != before[one]} == {key}
    differing = [new["bucket"] for old, new in zip(buckets_before, buckets_after, strict=True) if new != old]
    assert differing == [bucket_of(key, 8)]


@pytest.mark.parametrize("payload", ["full", "no_personal", "thin"])
def test_the_digests_are_of_what_the_payload_includes(client, acme, classes, payload):
    webhook = WebhookFactory(organization=acme, events=["class.*"], payload=payload)

    digests = objects(client, webhook, noun="class")

    TrainingClass.objects.update(name="Renamed")

    kept = set(digests.values()) & set(objects(client, webhook, noun="class").values())
    assert len(kept) == (5 if payload == "thin" else 0)


def test_pages_continue_where_the_last_one_ended(client, webhook, classes):
    found = pages(client, at(webhook, "objects"), noun="class", page_size=2)

    assert [[row["id"] for row in page["results"]] for page in found] == [
        [str(one.pk) for one in some] for some in (classes[:2], classes[2:4], classes[4:])
    ]


def test_only_what_the_webhook_receives_is_listed(client, acme, classes):
    TrainingClassFactory(organization=OrganizationFactory())
    webhook = WebhookFactory(organization=acme, events=[])
    webhook.subscriptions.create(event_type="class.*", filters={"class": [classes[0].pk, classes[3].pk]})

    found = objects(client, webhook, noun="class", page_size=2)

    assert list(found) == [str(classes[0].pk), str(classes[3].pk)]
    assert sum(one["count"] for one in buckets(client, webhook, noun="class")) == 2


def test_child_organizations_are_included_if_the_webhook_includes_them(client, acme, classes):
    child = TrainingClassFactory(organization=OrganizationFactory(parent=acme))
    webhook = WebhookFactory(organization=acme, events=["class.*"], include_children=True)

    assert str(child.pk) in objects(client, webhook, noun="class")


def test_a_bucket_is_the_hash_of_its_sorted_lines(client, webhook, classes):
    digests = objects(client, webhook, noun="class")

    found = buckets(client, webhook, noun="class", buckets=4)

    assert [one["bucket"] for one in found] == [0, 1, 2, 3]
    for one in found:
        lines = sorted(f"{key}:{digest}" for key, digest in digests.items() if bucket_of(key, 4) == one["bucket"])
        assert one["count"] == len(lines)
        assert one["digest"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def test_the_objects_of_one_bucket_can_be_listed(client, webhook, classes):
    everything = objects(client, webhook, noun="class")

    found = [objects(client, webhook, noun="class", buckets=3, bucket=one, page_size=1) for one in range(3)]

    assert [{bucket_of(key, 3) for key in some} <= {number} for number, some in enumerate(found)] == [True] * 3
    assert {key: digest for some in found for key, digest in some.items()} == everything


def test_many_objects_are_compared_in_pages_of_buckets(client, webhook, classes, monkeypatch):
    at_once = buckets(client, webhook, noun="class", buckets=16)
    monkeypatch.setattr(comparison, "MOST_READ", 2)
    monkeypatch.setattr(snapshot, "KEYS", 2)
    monkeypatch.setattr(snapshot, "PAGE", 1)

    found = pages(client, at(webhook, "digests"), noun="class", buckets=16)

    assert [one for page in found for one in page["results"]] == at_once
    assert len(found) > 1
    assert all(sum(one["count"] for one in page["results"]) <= 2 for page in found)


def test_a_bucket_with_too_many_objects_asks_for_more_buckets(client, webhook, classes, monkeypatch):
    monkeypatch.setattr(comparison, "MOST_READ", 2)

    response = client.get(at(webhook, "digests"), {"noun": "class", "buckets": 1})

    assert errors_of(response) == {"buckets": "Bucket 0 has more than 2 objects. Use more buckets, such as 4."}


def test_the_cursor_is_that_of_the_feed(client, webhook, classes):
    (page,) = pages(client, at(webhook, "digests"), noun="class")
    classes[0].cancel()
    number_events()

    events = client.get("/api/events/", {"after": page["cursor"]}).json()["results"]

    # Those that no reader of the feed has published come after it, too.
    assert events[-1]["type"] == "class.cancelled"


@pytest.mark.parametrize(
    ("route", "query", "expected"),
    [
        ("objects", {}, {"noun": "Missing; name one noun, such as noun=class."}),
        (
            "digests",
            {"noun": "clas"},
            {"noun": '"clas" can\'t be compared. This webhook can have: class.'},
        ),
        ("digests", {"noun": "user"}, {"noun": '"user" can\'t be compared. This webhook can have: class.'}),
        ("digests", {"noun": "class", "buckets": "0"}, {"buckets": "Use a whole number from 1 to 4096."}),
        ("digests", {"noun": "class", "buckets": "many"}, {"buckets": "Use a whole number from 1 to 4096."}),
        ("digests", {"noun": "class", "first": "64"}, {"first": "Use a whole number from 0 to 63."}),
        ("objects", {"noun": "class", "bucket": "64"}, {"bucket": "Use a whole number from 0 to 63."}),
        ("objects", {"noun": "class", "page_size": "0"}, {"page_size": "Use a whole number from 1 to 100."}),
    ],
)
def test_a_wrong_parameter_is_reported_with_its_remedy(client, webhook, route, query, expected):
    assert errors_of(client.get(at(webhook, route), query)) == expected


def test_a_cursor_of_another_list_is_refused(client, acme, webhook, problem):
    WebhookFactory.create_batch(2, organization=acme)
    other = client.get("/api/webhooks/", {"page_size": 1}).json()["next"]
    cursor = other.partition("cursor=")[2].partition("&")[0]

    for wrong in (cursor, "x"):
        found = problem(client.get(f"{at(webhook, 'objects')}?noun=class&cursor={wrong}"), "invalid-cursor")
        assert [one["parameter"] for one in found["errors"]] == ["cursor"]


def test_an_enrollment_of_a_learner_elsewhere_is_compared_by_the_audience(client, acme):
    enrollment = ClassEnrollmentFactory(user__organization=acme)
    webhook = WebhookFactory(organization=acme, events=["enrollment.*"], audience="learner")
    owner = WebhookFactory(organization=acme, events=["enrollment.*"], audience="owner")

    assert list(objects(client, webhook, noun="enrollment")) == [str(enrollment.pk)]
    assert objects(client, owner, noun="enrollment") == {}
