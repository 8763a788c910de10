"""The digest of an object covers what is its own, and nothing else."""

import copy
import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks import catalogue
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.digests import EXACT, bucket_of, digest_of, digest_of_bucket, digested, hashed, own_fields
from tms_webhooks.payloads.envelope import to_text

FULL, WITHOUT, THIN = PayloadDetail.FULL, PayloadDetail.NO_PERSONAL, PayloadDetail.THIN


def event_of(name, **changes):
    """Return an event as it is stored, without a digest."""
    event = catalogue.get(name).example() | changes
    event.pop("digest", None)
    return event


def digest_in(event, detail=FULL):
    return json.loads(digested(to_text(event), detail)).get("digest")


def changed(data, name, value):
    """Return data with another value at a dotted name."""
    data = copy.deepcopy(data)
    *parents, leaf = name.split(".")
    target = data
    for parent in parents:
        target = target[parent]
    target[leaf] = value
    return data


def test_the_key_is_between_the_actor_and_the_data_of_a_body_that_is_otherwise_unchanged():
    body = to_text(event_of("class.cancelled", correlation_id="r-1"))

    event = json.loads(digested(body, FULL))

    digest = event["digest"]
    assert len(digest) == 32
    assert digested(body, FULL) == body.replace('"data":', f'"digest":"{digest}","data":', 1)
    assert list(event)[list(event).index("digest") + 1] == "data"
    catalogue.get("class.cancelled").validate(event)


def test_it_covers_the_columns_of_the_row_and_the_ids_that_it_refers_to():
    assert [field.name for field in own_fields("enrollment")] == [
        *("id", "external_id", "status", "completion_status", "late_cancel", "retake", "hours_spent", "grade"),
        *("location_type", "classroom.id", "user.id", "class.id", "created_at"),
    ]
    # Of a computed path, the id names the path, and the row is the assignment that completed it.
    *own, courses, subscription = own_fields("learning_path")
    assert [field.name for field in (*own, subscription)] == ["id", "user.id", "completed_at", "subscription.id"]
    assert [item.name for item in courses.items] == ["id", "completed_at"]


@pytest.mark.parametrize(
    ("noun", "name", "value"),
    [
        ("class", "updated_at", "2026-12-01T00:00:00.000Z"),
        ("class", "enrolled_count", 12),
        ("class", "open_count", 1),
        ("class", "course.name", "Renamed"),
        ("class", "classroom.city", "Amsterdam"),
        ("class", "instructor.last_name", "Renamed"),
        ("class", "instructors", []),
        ("class", "organization.name", "Renamed"),
        ("enrollment", "class.start_at", None),
        ("enrollment", "user.email", "other@example.com"),
        ("enrollment", "course.id", 302),
    ],
)
def test_a_value_of_another_row_is_no_part_of_it(noun, name, value):
    data = catalogue.get(f"{noun}.snapshot").example()["data"]

    assert digest_of(noun, changed(data, name, value), FULL) == digest_of(noun, data, FULL)


@pytest.mark.parametrize(
    ("noun", "name", "value"),
    [
        ("class", "name", "Renamed"),
        ("class", "status", {"code": 2, "name": "Cancelled"}),
        ("class", "course.id", 302),
        ("class", "organization.id", 13),
        ("class", "instructor_ids", [4100]),
        ("class", "session_times", []),
        ("course_assignment", "completion_status", {"code": 1, "name": "Complete"}),
        ("user", "disabled", True),
        ("user", "role_ids", []),
    ],
)
def test_a_value_of_its_own_is_a_part_of_it(noun, name, value):
    data = catalogue.get(f"{noun}.snapshot").example()["data"]

    assert digest_of(noun, changed(data, name, value), FULL) != digest_of(noun, data, FULL)


def test_it_is_of_the_object_as_the_webhook_gets_it():
    event = event_of("user.updated")
    data = event["data"]
    renamed = {**event, "data": changed(data, "first_name", "Renamed")}
    disabled = {**event, "data": changed(data, "disabled", True)}

    assert len({digest_in(event, detail) for detail in PayloadDetail}) == 3
    assert digest_in(renamed) != digest_in(event)
    assert digest_in(renamed, WITHOUT) == digest_in(event, WITHOUT) != digest_in(disabled, WITHOUT)
    assert digest_in(disabled, THIN) == digest_in(event, THIN)


def test_what_belongs_to_the_event_alone_is_no_part_of_it():
    event = event_of("course_assignment.expiring")
    later = {**event, "id": "evt_2", "sequence": 9, "changed": ["name"], "previous": {"name": "x"}}

    assert digest_in(later) == digest_in(event) == digest_of("course_assignment", event["data"], FULL)


@pytest.mark.parametrize(
    "event",
    [
        event_of("webhook.disabled"),
        event_of("class.removed"),
        event_of("class.updated", type="class.forgotten"),
    ],
    ids=["a webhook", "removed", "a removed type"],
)
def test_an_event_whose_object_can_not_be_compared_has_none(event):
    body = to_text(event)

    assert digested(body, FULL) == body


@pytest.mark.parametrize(
    "body", ["", "not JSON", "[]", '{"data":1}', '{"type":"class.updated","data":', '{"type":1,"data":{}}']
)
def test_a_body_that_is_no_event_stays_as_it_is(body):
    assert digested(body, FULL) == body


def test_a_field_without_a_value_changes_nothing():
    data = catalogue.get("class.snapshot").example()["data"]

    assert digest_of("class", changed(data, "description", None), FULL) == digest_of(
        "class", {name: value for name, value in data.items() if name != "description"}, FULL
    )


@pytest.mark.parametrize("number", [2**53, -(2**70), 1e22, 10**22])
def test_a_large_number_is_text(number):
    data = {"id": 1, "max_students": number}

    assert digest_of("class", data, FULL) == digest_of("class", {"id": 1, "max_students": str(int(number))}, FULL)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-EXACT, EXACT) | st.floats(-EXACT, EXACT) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_it_is_of_the_canonical_json_that_the_library_writes(value):
    assert hashed(value) == hashlib.sha256(rfc8785.dumps(value)).hexdigest()[:32]


@pytest.mark.parametrize(
    "value",
    [1e-7, 0.00001, 5e-324, 1.5, 100.0, -0.0, 0.1, "e-mail", {"\ue000": 1, "\U0001f600": 2}, '\x7f\u2028\x1f\\"/'],
)
def test_what_python_and_the_standard_write_differently_is_written_by_the_library(value):
    assert hashed({"value": value}) == hashlib.sha256(rfc8785.dumps({"value": value})).hexdigest()[:32]


def test_it_is_the_first_half_of_the_sha_256_of_the_canonical_json():
    written = rfc8785.dumps({"id": 70031, "user": {"id": 5012}, "grade": 88.0})

    assert written == b'{"grade":88,"id":70031,"user":{"id":5012}}'
    assert (
        digest_of("enrollment", {"id": 70031, "grade": 88, "user": {"id": 5012, "email": "x"}}, FULL)
        == (hashlib.sha256(written).hexdigest()[:32])
    )


@given(st.dictionaries(st.text(), st.text("0123456789abcdef", min_size=32, max_size=32)), st.integers(1, 4_096))
def test_the_digest_of_a_bucket_does_not_depend_on_the_order_of_its_objects(digests, buckets):
    assert digest_of_bucket(dict(reversed(digests.items()))) == digest_of_bucket(digests)
    assert all(0 <= bucket_of(key, buckets) < buckets for key in digests)


def test_the_objects_of_a_noun_fill_their_buckets_evenly():
    counts = [0] * 64
    for key in range(6_400):
        counts[bucket_of(str(key), 64)] += 1

    assert min(counts) > 50
    assert max(counts) < 160


def test_a_path_in_the_samples_is_covered_or_of_another_row():
    data = catalogue.get("class.snapshot").example()["data"]

    assert all(value_at(data, field.name, "missing") != "missing" for field in own_fields("class"))
