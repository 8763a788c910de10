"""Query parameters: unknown names and invalid values are rejected."""

import pytest

from tests.integration.api.people import error_of

EMPTY = "Empty; set a value or omit the parameter."
PAGE_SIZE = "Use a whole number from 1 to 100."


@pytest.mark.parametrize(
    "query, detail",
    [
        ("webhooks/?statsu=1", "Unknown parameter 'statsu'. Known: "),
        ("event-types/?cursor=x", "Unknown parameter 'cursor'."),
        ("webhooks/?page_size=0", PAGE_SIZE),
        (
            "webhooks/?format=xml",
            "'xml' is not a valid choice; choose one of standard, skillable, cloudevents, cloudevents_binary, custom.",
        ),
        ("webhooks/?enabled=0", "'0' is not a valid choice; choose one of true, false."),
        ("jobs/?status=", EMPTY),
    ],
)
def test_an_invalid_parameter_is_rejected_with_the_right_form(client, query, detail):
    place, _code, found = error_of(client.get(f"/api/{query}"))

    assert place == query.partition("?")[2].partition("=")[0]
    assert found.startswith(detail)


@pytest.mark.parametrize("value", ["acme", "9" * 30])
def test_a_text_that_is_no_key_of_an_organization_is_an_unknown_one(client, problem, value):
    details = problem(client.get(f"/api/webhooks/?organization={value}"), "not-found")

    assert details["detail"] == "organization: Unknown organization; use the id of one of yours."
