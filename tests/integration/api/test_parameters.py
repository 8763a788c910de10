"""Query parameters: unknown names and invalid values are rejected."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory


@pytest.mark.parametrize("query", ["?statsu=1", "?page_sizes=5"])
def test_an_unknown_parameter_is_refused(client, problem, query):
    data = problem(client.get(f"/api/webhooks/{query}"), "invalid-request")

    (error,) = data["errors"]
    assert (error["parameter"], error["code"]) == (query[1:-2], "unknown")


def test_a_list_without_pages_refuses_a_cursor(client, problem):
    (error,) = problem(client.get("/api/event-types/?cursor=x"), "invalid-request")["errors"]

    assert error["detail"] == "Unknown parameter 'cursor'. Known: group."


@pytest.mark.parametrize(
    "query", ["?enabled=perhaps", "?ordering=url", "?format=xml", "?page_size=0", "?page_size=101", "?page_size=x"]
)
def test_an_invalid_parameter_is_rejected(client, problem, query):
    data = problem(client.get(f"/api/webhooks/{query}"), "invalid-request")

    assert data["errors"][0]["parameter"] == query[1:].partition("=")[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "jobs/?kind=replay",
            "'replay' is not a valid choice; choose one of recover, replay_missed, cancel_pending, send_now, snapshot.",
        ),
        ("jobs/?status=", "Empty; set a value or omit the parameter."),
        ("webhooks/?enabled=0", "'0' is not a valid choice; choose one of true, false."),
        ("webhooks/?ordering=url", "'url' is not a valid choice; choose one of name, -name, created_at, -created_at."),
        ("deliveries/?event_type=", "Empty; set a value or omit the parameter."),
        ("deliveries/?webhook=", "Empty; set a value or omit the parameter."),
        ("deliveries/?event=evt_1&event=evt_2", "Given 2 times; give it once."),
    ],
)
def test_an_invalid_filter_is_rejected_with_the_valid_values(client, problem, query, expected):
    (error,) = problem(client.get(f"/api/{query}"), "invalid-request")["errors"]

    assert error["detail"] == expected


def test_what_may_be_given_several_times_means_any_of_them(client, acme):
    WebhookFactory(organization=acme)

    assert client.get("/api/deliveries/?status=pending&status=waiting").status_code == 200
    assert len(client.get(f"/api/webhooks/?organization={acme.pk}").json()["results"]) == 1
