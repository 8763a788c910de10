"""Slots are shared among organizations: none takes all of them, and one that has none finds a free one."""

import pytest

from tests.unit.worker.requests import a_request, answered, make_queues, next_ones, read

TOTALS = [2, 3, 4, 5, 7, 9, 16, 64, 1000]


def take_all(queues, organization, *, number=1_000):
    """Take one slot after another for an organization with so many webhooks, until it gets none."""
    first = 1_000 * ord(organization)
    read(queues, [a_request(first + one, organization=organization) for one in range(number)])
    return next_ones(queues)


@pytest.mark.parametrize("total", TOTALS)
def test_one_organization_gets_three_quarters_and_another_finds_a_free_slot(total):
    queues = make_queues(total)

    assert 0 <= len(take_all(queues, "A")) - 3 * total // 4 <= (total % 4 > 0)
    assert take_all(queues, "B", number=1)


def test_the_only_slot_is_for_anyone():
    assert len(take_all(make_queues(1), "A")) == 1


def test_each_further_organization_gets_three_quarters_of_the_rest():
    queues = make_queues(64)

    assert [len(take_all(queues, name)) for name in "ABCD"] == [48, 12, 3, 1]


@pytest.mark.parametrize("total", range(2, 40))
def test_the_last_slot_is_for_an_organization_that_has_none(total):
    queues, taken = make_queues(total), 0
    for name in "ABCDE":
        is_full = taken == total
        found = take_all(queues, name, number=40)
        taken += len(found)
        assert {one.endpoint.webhook.organization_id for one in found} == (set() if is_full else {name})


def test_a_slot_that_is_given_back_is_free_for_others():
    queues = make_queues(4)
    first, *_others = take_all(queues, "A")
    take_all(queues, "B", number=1)
    assert take_all(queues, "C", number=1) == []

    answered(queues, first)

    (found,) = next_ones(queues)
    assert found.endpoint.webhook.organization_id == "C"
