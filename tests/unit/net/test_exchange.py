from __future__ import annotations

import pytest

from tms_webhooks.net.transports.connections import Exchange


def test_the_rest_of_the_deadline_is_left_but_at_most_the_limit():
    exchange = Exchange(10.0)

    assert exchange.left(5.0) == 5.0
    assert 9.0 < exchange.left() <= 10.0
    assert 9.0 < exchange.left(60.0) <= 10.0


def test_past_the_deadline_nothing_is_left():
    with pytest.raises(TimeoutError, match="the deadline has passed"):
        Exchange(-0.001).left(5.0)
