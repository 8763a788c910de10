"""Commands print one of a thing in the singular."""

from __future__ import annotations

import pytest

from tms_webhooks.management.base import counted
from tms_webhooks.management.commands import webhooks_erase
from tms_webhooks.outbox.erasure import Erased


@pytest.mark.parametrize(
    ("number", "words", "text"),
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


def test_an_erasure_of_one_event_is_in_the_singular():
    assert webhooks_erase.in_words(Erased(1, 1, 1, 1), dry_run=False) == (
        "Blanked 1 event, cancelled 1 delivery, and removed the name from 1 other row. 1 event is in flight: run the "
        "command again."
    )
