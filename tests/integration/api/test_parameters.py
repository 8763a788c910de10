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
        ("events/?cursor=x&after=", "Unknown parameter 'cursor'. Known: "),
        ("webhooks/?page_size=0", PAGE_SIZE),
        (
            "webhooks/?format=xml",
            "'xml' is not a valid choice; choose one of standard, skillable, cloudevents, cloudevents_binary, custom.",
        ),
        ("webhooks/?enabled=0", "'0' is not a valid choice; choose one of true, false."),
        ("jobs/?status=", EMPTY),
        (
            "events/?type=class.*,class.canceled",
            "Unknown event type or pattern 'class.canceled'. Did you mean \"class.cancelled\"",
        ),
    ],
)
def test_an_invalid_parameter_is_rejected_with_the_right_form(client, query, detail):
    place, _code, found = error_of(client.get(f"/api/{query}"))

    assert place == query.partition("?")[2].partition("=")[0]
    assert found.startswith(detail)


@pytest.mark.parametrize(
    "address",
    [
        "deliveries/?statsu=failed&status=lost&created_after=soon&event=&webhook=none&page_size=0&cursor=x",
        "events/?typ=class.*&type=class.canceled&subject=class&external_id=%00&undelivered_to=none&page_size=0",
    ],
)
def test_one_answer_names_all_wrong_parameters(client, problem, address):
    wrong = [part.partition("=")[0] for part in address.partition("?")[2].split("&")]

    errors = problem(client.get(f"/api/{address}"), "invalid-request")["errors"]

    assert [one["parameter"] for one in errors] == wrong


@pytest.mark.parametrize("value", ["acme", "9" * 30])
def test_a_text_that_is_no_key_of_an_organization_is_an_unknown_one(client, problem, value):
    details = problem(client.get(f"/api/webhooks/?organization={value}"), "not-found")

    assert details["detail"] == "organization: Unknown organization; use the id of one of yours."
