"""A test of each value fails for all values that are wrong, and is no test without a value."""

import inspect

import pytest

from tests.each import each


def test_all_values_are_looked_at_and_the_wrong_ones_are_named():
    seen = []

    @each([1, 2, 3], name="number {}".format)
    def look(value, fixture):
        seen.append((value, fixture))
        assert value == 2

    assert list(inspect.signature(look).parameters) == ["fixture"]
    with pytest.raises(ExceptionGroup, match="2 of 3 failed") as caught:
        look(fixture="given")
    assert seen == [(1, "given"), (2, "given"), (3, "given")]
    assert [one.__notes__ for one in caught.value.exceptions] == [["with number 1"], ["with number 3"]]


def test_without_a_value_it_fails():
    with pytest.raises(AssertionError, match="nothing to look at"):
        each([])(lambda value: None)()
