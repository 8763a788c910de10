"""A value in one row of a list."""

from __future__ import annotations

import pytest

from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources import Row

TITLES = [{"title": "Azure", "language": "en"}, {"title": None, "language": "nl"}, {"title": "Azur", "language": "fr"}]


@pytest.mark.parametrize(
    ("language", "title"),
    [
        ("en", "Azure"),
        (["fr", "en"], "Azur"),
        (["nl", "en"], "Azure"),
        (("de", "fr"), "Azur"),
        ("de", None),
        ([], None),
    ],
)
def test_the_first_accepted_row_with_a_value_counts(language, title):
    row = Row("translations.title", language=language)

    assert row.paths == ("translations.title+language",)
    assert row.value([TITLES]) == title


def test_without_rows_there_is_no_value():
    assert Row("translations.title", language="en").value([[]]) is None
    assert Row("translations.title", language="en").value([None]) is None


def test_under_an_object_the_list_is_that_objects():
    assert Row("translations.title", language=["en"]).under("lecture") == Row(
        "lecture.translations.title", language="en"
    )


@pytest.mark.parametrize("where", [{}, {"language": "en", "kind": "title"}])
def test_it_names_one_column(where):
    with pytest.raises(
        ConfigurationError, match=r'names \d columns; write Row\(\'translations.title\', language="en"\)'
    ):
        Row("translations.title", **where)
