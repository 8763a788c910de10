from __future__ import annotations

import time

import pytest

from tms_webhooks.net.deadline import Exchange


def test_what_is_left_is_the_rest_of_the_deadline_but_at_most_the_limit() -> None:
    exchange = Exchange(deadline_at=time.monotonic() + 10.0, connect_timeout=3.0, read_timeout=5.0)

    assert exchange.left(5.0) == 5.0
    assert 9.0 < exchange.left() <= 10.0
    assert 9.0 < exchange.left(60.0) <= 10.0


def test_past_the_deadline_nothing_is_left() -> None:
    exchange = Exchange(deadline_at=time.monotonic() - 0.001, connect_timeout=3.0, read_timeout=5.0)

    with pytest.raises(TimeoutError, match="the deadline has passed"):
        exchange.left(5.0)


def test_a_second_try_keeps_the_deadline_and_asks_for_a_fresh_connection() -> None:
    first = Exchange(deadline_at=123.0, connect_timeout=3.0, read_timeout=5.0)
    first.reused = first.answered = True

    second = first.on_fresh_connection()

    assert (second.deadline_at, second.connect_timeout, second.read_timeout) == (123.0, 3.0, 5.0)
    assert (first.fresh, second.fresh) == (False, True)
    assert (second.reused, second.answered) == (False, False)
