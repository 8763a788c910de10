"""Several updates of one object become one event."""

import json

import pytest

from tms_webhooks.outbox.quiet import merge


def event(data, previous, *changed, number=1, event_type="user.updated"):
    body = {"id": f"evt_{number}", "type": event_type, "sequence": number, "data": data}
    return json.dumps({**body, "changed": list(changed), "previous": previous})


def merged(*bodies):
    body = merge(bodies)
    assert body is not None
    return json.loads(body)


def test_all_but_the_changes_are_those_of_the_newest_event():
    newest = event({"id": 7, "city": "Delft"}, {"city": "Leiden"}, "city", number=2)

    one = merged(event({"id": 7, "city": "Leiden"}, {"city": "Utrecht"}, "city"), newest)

    assert one == json.loads(newest) | {"previous": {"city": "Utrecht"}}


def test_changed_is_in_the_order_of_the_fields_and_unknown_ones_come_last():
    data = {"city": "b", "email": "b", "mood": "b"}

    one = merged(event(data, {"mood": "a", "city": "a"}, "mood", "city"), event(data, {"email": "a"}, "email"))

    assert one["changed"] == ["email", "city", "mood"]
    assert one["previous"] == {"email": "a", "city": "a", "mood": "a"}


def test_nested_values_are_found_by_their_dotted_names():
    first = event(
        {"manager": {"id": 2, "email": "b"}}, {"manager": {"id": 1, "email": "a"}}, "manager.id", "manager.email"
    )
    second = event({"manager": {"id": 3, "email": "b"}}, {"manager": {"id": 2}}, "manager.id")

    assert merged(first, second)["previous"] == {"manager": {"id": 1, "email": "a"}}


@pytest.mark.parametrize("value", [None, "", 0, [1, 2], {"code": 1, "name": "Scheduled"}])
def test_a_field_that_has_its_oldest_value_again_is_left_out(value):
    first = event({"city": "b", "phone": "b"}, {"city": value, "phone": "a"}, "city", "phone")
    second = event({"city": value, "phone": "b"}, {"city": "b"}, "city")

    one = merged(first, second)

    assert (one["changed"], one["previous"]) == (["phone"], {"phone": "a"})


def test_nothing_is_left_if_every_field_has_its_oldest_value_again():
    assert merge([event({"city": "b"}, {"city": "a"}, "city"), event({"city": "a"}, {"city": "b"}, "city")]) is None


def test_a_field_whose_old_value_is_withheld_stays_changed():
    """Previous leaves out personal values of a learner who moved to another organization."""
    one = merged(event({"city": "b"}, {}, "city"), event({"city": "a"}, {"city": "b"}, "city"))

    assert (one["changed"], one["previous"]) == (["city"], {})


def test_merged_events_are_merged_again_as_if_at_once():
    bodies = [
        event({"city": after, "phone": str(number)}, {"city": before, "phone": str(number - 1)}, "city", "phone")
        for number, (before, after) in enumerate(["ab", "bc", "ca", "ad"], start=1)
    ]
    first = merge(bodies[:2])
    assert first is not None

    assert merge([first, *bodies[2:]]) == merge(bodies)
