"""Slots are shared among organizations: none takes all of them, and one that has none finds a free one."""

from __future__ import annotations

import pytest

from tms_webhooks.worker.endpoint_queues import Shares


def take_all(shares, organization):
    """Take one slot after another for an organization, until it gets none; return how many."""
    taken = 0
    while shares.may_take(organization):
        shares.take(organization)
        taken += 1
    return taken


@pytest.mark.parametrize("total", [2, 3, 4, 5, 7, 9, 16, 64, 1000])
def test_after_any_one_organization_another_finds_a_free_slot(total):
    shares = Shares(total)

    take_all(shares, "A")

    assert shares.may_take("B")


def test_the_only_slot_is_for_anyone():
    assert take_all(Shares(1), "A") == 1


@pytest.mark.parametrize("total", [4, 64, 1000])
def test_one_organization_gets_three_quarters(total):
    assert take_all(Shares(total), "A") == 3 * total // 4


def test_each_further_organization_gets_three_quarters_of_the_rest():
    shares = Shares(64)

    assert [take_all(shares, name) for name in "ABC"] == [48, 12, 3]
    assert shares.may_take("D")


@pytest.mark.parametrize("total", range(2, 40))
def test_the_last_slot_is_for_an_organization_that_has_none(total):
    shares = Shares(total)
    for name in "ABCDE":
        take_all(shares, name)
        if shares.free:
            assert all(not shares.may_take(other) for other in "ABCDE" if other <= name)
            assert shares.may_take("newcomer")


def test_a_slot_that_is_given_back_is_free_for_others():
    shares = Shares(4)
    take_all(shares, "A")
    shares.take("B")
    assert not shares.may_take("C")

    shares.give_back("A")

    assert (shares.free, shares.may_take("C")) == (1, True)
