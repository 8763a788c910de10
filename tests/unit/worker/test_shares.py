"""Places are shared among organizations: none takes all of them, and one that has none finds a free one."""

from __future__ import annotations

import pytest

from tms_webhooks.worker.endpoint_queues import Shares


def take_all(shares: Shares, organization: object) -> int:
    """Take one place after another for an organization, until it gets none; return how many."""
    taken = 0
    while shares.allowance(organization):
        shares.take(organization)
        taken += 1
    return taken


@pytest.mark.parametrize("total", [2, 3, 4, 5, 7, 9, 16, 64, 1000])
def test_after_any_one_organization_another_finds_a_free_place(total):
    shares = Shares(total)

    take_all(shares, "A")

    assert shares.free >= 1
    assert shares.allowance("B") >= 1


def test_the_only_place_is_for_anyone():
    assert take_all(Shares(1), "A") == 1


@pytest.mark.parametrize("total", [4, 64, 1000])
def test_one_organization_gets_three_quarters(total):
    assert take_all(Shares(total), "A") == 3 * total // 4


def test_each_further_organization_gets_three_quarters_of_the_rest():
    shares = Shares(64)

    assert [take_all(shares, name) for name in "ABC"] == [48, 12, 3]
    assert shares.allowance("D") == 1


@pytest.mark.parametrize("total", range(2, 40))
def test_the_last_place_is_for_an_organization_that_has_none(total):
    shares = Shares(total)
    for name in "ABCDE":
        take_all(shares, name)
        if shares.free:
            assert all(not shares.allowance(other) for other in "ABCDE" if other <= name)
            assert shares.allowance("newcomer") >= 1


@pytest.mark.parametrize("total", [1, 2, 3, 7, 16, 64, 999])
@pytest.mark.parametrize("before", [0, 1, 5])
def test_many_places_are_allowed_at_once_exactly_if_they_are_one_by_one(total, before):
    shares = Shares(total)
    for _ in range(min(before, total - 1)):
        shares.take("A")
    allowed = shares.allowance("A")

    assert take_all(shares, "A") == allowed


def test_a_place_that_is_given_back_is_free_for_others():
    shares = Shares(4)
    take_all(shares, "A")
    shares.take("B")
    assert shares.allowance("C") == 0

    shares.give_back("A")

    assert (shares.free, shares.allowance("C")) == (1, 1)


def test_an_organization_that_gave_back_all_is_as_one_that_never_had_any():
    shares = Shares(8)
    allowed = shares.allowance("A")
    shares.take("A")
    shares.give_back("A")

    assert shares.allowance("A") == allowed
