"""Commands print one of a thing in the singular."""

import pytest

from tms_webhooks.monitoring.words import counted


@pytest.mark.parametrize(
    "number, words, text",
    [
        (0, ("event",), "0 events"),
        (1, ("event",), "1 event"),
        (2, ("event",), "2 events"),
        (1, ("delivery", "deliveries"), "1 delivery"),
        (2, ("delivery", "deliveries"), "2 deliveries"),
    ],
)
def test_a_number_has_its_noun_in_the_singular_or_the_plural(number, words, text):
    assert counted(number, *words) == text
