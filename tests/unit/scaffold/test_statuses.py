"""Which statuses the words of a host mean."""

from __future__ import annotations

import pytest

from tms_webhooks import choices
from tms_webhooks.catalogue.schema import status_name
from tms_webhooks.scaffold.statuses import OTHER_WORDS, StatusGuess, guesses_for, needs_mapping


@pytest.mark.parametrize(
    ("value", "label", "statuses", "meaning", "certain"),
    [
        ("cancelled", "Cancelled", choices.ClassStatus, "Cancelled", True),
        ("x", "No Show", choices.CompletionStatus, "No Show", True),
        (3, "no-show", choices.CompletionStatus, "No Show", True),
        ("planned", "Planned", choices.ClassStatus, "Scheduled", False),
        ("c", "Cancelled by the customer", choices.EnrollmentStatus, "Cancel", False),
        ("waiting_list", "On the waiting list", choices.EnrollmentStatus, "Waitlist", False),
        ("awaiting", "Awaiting payment", choices.EnrollmentStatus, "", False),
        (1, "1", choices.ClassStatus, "", False),
        (2, "Passed", choices.CompletionStatus, "Complete", False),
    ],
)
def test_a_value_is_guessed_by_its_label_or_its_name(value, label, statuses, meaning, certain):
    assert guesses_for([(value, label)], statuses) == [StatusGuess(value, meaning, certain)]


def test_values_that_are_read_as_what_they_mean_need_no_dictionary():
    pairs = [(member.value, member.label) for member in choices.ClassStatus]
    assert not needs_mapping(guesses_for(pairs, choices.ClassStatus), "status", choices.ClassStatus)
    words = [("enrolled", "Enrolled"), ("waitlist", "Waitlist")]
    assert not needs_mapping(guesses_for(words, choices.EnrollmentStatus), "status", choices.EnrollmentStatus)


def test_a_number_that_means_another_status_here_needs_a_dictionary():
    pairs = [(0, "Cancelled"), (2, "Scheduled")]
    assert needs_mapping(guesses_for(pairs, choices.ClassStatus), "status", choices.ClassStatus)


def test_a_value_that_can_not_be_read_needs_a_dictionary():
    assert needs_mapping(guesses_for([("planned", "Planned")], choices.ClassStatus), "status", choices.ClassStatus)


def test_each_other_word_belongs_to_a_status_and_to_no_second_one():
    for statuses, words in OTHER_WORDS.items():
        assert words.keys() <= {member.name for member in statuses}
        everything = [word for listed in words.values() for word in listed]
        assert len(everything) == len(set(everything)), statuses
        for name, listed in words.items():
            for word in listed:
                (guess,) = guesses_for([(word, word)], statuses)
                assert guess.meaning == status_name(statuses[name]), word
