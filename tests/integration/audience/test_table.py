"""Each way to change × each kind of audience × each webhook: what it gets, with which number, and what it never sees."""

import json
from collections import defaultdict

import pytest

from tests.integration.audience.cast import Cast, kind_of
from tests.integration.audience.rows import ALONE, DROPS, NUMBERS, PARTS, ROWS, VALUES


@pytest.fixture(scope="module")
def cast(module_db):
    return Cast()


def each_row(*questions, rows=ROWS):
    """Ask a question of each row; mark those of which today's code answers one of these wrongly."""
    found = []
    for row in rows:
        reason = next((row.fails[one] for one in questions if one in row.fails), None)
        marks = [pytest.mark.xfail(strict=True, reason=reason, raises=AssertionError)] if reason else []
        found.append(pytest.param(row, id=row.name, marks=marks))
    return pytest.mark.parametrize("row", found)


def lines_of(cast, row):
    return {name: [cast.words(one) for one in bodies] for name, bodies in cast.play(row).bodies.items() if bodies}


def without_numbers(lines):
    return {name: sorted(line.partition(" ")[2] for line in some) for name, some in lines.items()}


IN_ONE_WAY = [row for row in ROWS if row.expected and not row.name.endswith(("by update()", "by bulk_update()"))]


@each_row(PARTS)
def test_each_webhook_gets_of_a_change_what_it_may_see_once(cast, row):
    assert without_numbers(lines_of(cast, row)) == without_numbers(row.lines)


@pytest.mark.slow
@each_row(ALONE, rows=IN_ONE_WAY)
def test_the_webhook_that_is_named_last_gets_the_same_where_it_alone_subscribes(cast, row):
    name = list(row.lines)[-1]

    found = [cast.words(one) for one in cast.play_for(name, row)]

    assert without_numbers({name: found}) == without_numbers({name: row.lines[name]})


@each_row(NUMBERS, PARTS)
def test_a_change_has_one_number_whoever_sees_it(cast, row):
    assert lines_of(cast, row) == row.lines


@each_row(DROPS)
def test_a_receiver_that_keeps_the_highest_number_drops_nothing(cast, row):
    numbers = defaultdict(list)
    for name, bodies in cast.play(row).bodies.items():
        for body in bodies:
            numbers[name, body["type"].partition(".")[0], body["data"]["id"]].append(body["sequence"])

    assert {key: found for key, found in numbers.items() if found != sorted({*found})} == {}


@each_row(VALUES)
def test_no_value_of_before_reaches_a_new_owner_and_none_at_all_an_old_one(cast, row):
    played, seen = cast.play(row), []
    for name, bodies in played.bodies.items():
        for body in bodies:
            noun, _dot, verb = body["type"].partition(".")
            before, after = (texts.get((noun, body["data"]["id"]), set()) for texts in (played.before, played.after))
            hidden = before | after if kind_of(noun, body) == "ids" else before - after if verb == "added" else ()
            seen += [(name, body["type"], text) for text in hidden if text in json.dumps(body)]

    assert seen == []
