"""How long a token URL that fails is left alone, and what the objects with its secrets show."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tms_webhooks.choices import AuthenticationKind
from tms_webhooks.delivery.authentication import client_credentials, seconds_to_wait
from tms_webhooks.models.access_token import KnownToken

SCHEDULE = (5.0, 60.0, 300.0, 1_800.0)


@pytest.mark.parametrize(
    ("failures", "schedule", "seconds"),
    [
        (1, SCHEDULE, 2.5),
        (2, SCHEDULE, 30.0),
        (3, SCHEDULE, 150.0),
        (4, SCHEDULE, 300.0),
        (5, SCHEDULE, 300.0),
        (1, (1.0,), 1.0),
        (1, (), 1.0),
    ],
)
def test_a_token_url_is_left_alone_for_half_of_the_step_at_least_a_second_and_at_most_five_minutes(
    failures, schedule, seconds
):
    assert seconds_to_wait(failures, schedule) == seconds


def test_no_repr_shows_a_secret():
    values = {"token_url": "https://login.example.com/", "client_id": "tms", "client_secret": "cl13nt-s3cret"}
    client = client_credentials(AuthenticationKind.OAUTH2, values)
    token = KnownToken("t0k3n", datetime(2026, 11, 27, tzinfo=UTC))

    shown = repr([client, {"token": token}, (token,)])

    assert [secret for secret in ("cl13nt-s3cret", "t0k3n") if secret in shown] == []
