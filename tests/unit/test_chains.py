"""A chain of events is sealed, so that nobody can make one, and read back from what was ours and recent."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.core import signing

from tms_webhooks.chains import NONE, SALT, Chain, chain_context, current_chain, seal

NOW = datetime.now(UTC)
LOOP = Chain(3, ("12", "31"))


def read_back(header: str) -> Chain:
    with chain_context(header):
        return current_chain()


def test_a_sealed_chain_is_read_back():
    assert read_back(seal(LOOP, now=NOW)) == LOOP
    assert read_back(seal(NONE.by("12"), now=NOW)) == Chain(1, ("12",))
    assert current_chain() == NONE


def test_a_chain_grows_by_each_event_and_names_each_organization_once():
    chain = NONE
    for organization in ("12", "31", "12"):
        chain = chain.by(organization)

    assert chain == Chain(3, ("31", "12"))


def test_a_chain_is_written_down_as_text():
    assert [str(NONE), str(LOOP)] == ["", "3:12,31"]
    assert [Chain.read(text) for text in ("", "3:12,31", "1:")] == [NONE, LOOP, Chain(1, ())]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "9:12,31",
        "rubbish",
        "a:b:c",
        "\x00",
        "x" * 10_000,
        seal(LOOP, now=NOW)[:-1],
        seal(LOOP, now=NOW) + "x",
        signing.Signer(salt="another").sign_object(["9:12", int(time.time()) // 60]),
        signing.Signer(salt=SALT).sign_object("9:12"),
        signing.Signer(salt=SALT).sign_object(["9:12", "now"]),
        signing.Signer(salt=SALT).sign_object(["many:12", int(time.time()) // 60]),
    ],
)
def test_what_is_not_ours_is_no_chain(header):
    assert read_back(header) == NONE


def test_a_seal_is_good_for_a_day_and_no_longer(settings):
    assert read_back(seal(LOOP, now=NOW - timedelta(hours=23))) == LOOP
    assert read_back(seal(LOOP, now=NOW - timedelta(hours=25))) == NONE
    assert read_back(seal(LOOP, now=NOW + timedelta(hours=1))) == NONE
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CHAIN_LIFETIME": 3600}
    assert read_back(seal(LOOP, now=NOW - timedelta(hours=2))) == NONE


def test_a_secret_key_that_is_rotated_still_opens_what_it_sealed(settings):
    header = seal(Chain(4, ("7",)), now=NOW)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"

    assert read_back(header) == Chain(4, ("7",))
    settings.SECRET_KEY_FALLBACKS = []
    assert read_back(header) == NONE


@pytest.mark.parametrize(("depth", "held"), [(5, False), (6, True)])
def test_a_chain_of_more_than_five_ends_with_those_who_made_it(depth, held):
    chain = Chain(depth, ("12", "31"))

    assert [chain.ends_with(key) for key in ("12", "31", "40")] == [held, held, False]


def test_the_limit_is_a_setting(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "CHAIN_LIMIT": 1}

    assert Chain(2, ("12",)).ends_with("12")


def test_a_chain_of_very_many_organizations_stays_a_header():
    chain = NONE
    for key in range(1000):
        chain = chain.by(str(key))

    assert chain.depth == 1000
    assert len(seal(chain, now=NOW)) < 1000
