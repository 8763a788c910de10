"""Who calls the API in these tests, and what they may do."""

from rest_framework.test import APIClient

from example_project.training.access import TrainingPolicy
from example_project.training.factories import UserFactory
from tms_webhooks.api.problems import CONTENT_TYPE, PROBLEM_TYPES

POLICY = f"{__name__}.HousePolicy"
NAMES = ["receiver.example.com", "other.example.com"]
PUBLIC = "93.184.215.14"
URL = f"https://{NAMES[0]}/hook"
LIST = "/api/webhooks/"

denied = {}
"""What users may not do in their own organizations."""


class HousePolicy(TrainingPolicy):
    """The example project's, but for what single users are denied."""

    def organizations(self, request, action):
        rows = super().organizations(request, action)
        return rows.none() if action in denied.get(getattr(request.user, "pk", 0), ()) else rows


class Caller(APIClient):
    """A client that sends JSON to the API, and forms to pages."""

    def post(self, path, data=None, **more):
        is_form = not path.startswith("/api/") and "content_type" not in more
        return super().post(path, data, **({"format": "multipart"} if is_form else {}), **more)


def client_of(user):
    """Return a client that is signed in; what a server would log as an error it raises."""
    client = Caller()
    client.force_login(user)
    return client


def member_of(organization, *, may_not=()):
    """Return a user of an organization, who may do everything there but what is named."""
    user = UserFactory(organization=organization, is_staff=True)
    denied[user.pk] = set(may_not)
    return user


def at(webhook, *path):
    """Return the address of a webhook, or one below it."""
    return "/".join(["/api/webhooks", webhook.public_id, *path, ""])


def body_of(organization, /, **fields):
    """Return the body that creates a webhook."""
    return {"organization": organization.pk, "name": "CRM", "url": URL, **fields}


def problem(response, kind):
    """Return what a response says is wrong, having seen that it is a problem of this kind."""
    assert response.headers["Content-Type"] == CONTENT_TYPE, response.content
    data = response.json()
    expected = PROBLEM_TYPES[kind]
    assert (data["type"], data["status"], response.status_code) == (expected.uri, expected.status, expected.status), (
        data
    )
    assert data["title"] == expected.title
    assert data["detail"]
    return data


def errors_of(response, what="detail"):
    """Return the detail of each error of an invalid request, by its pointer, parameter or header."""
    errors = problem(response, "invalid-request")["errors"]
    return {
        next(one[place] for place in ("pointer", "parameter", "header") if place in one): one[what] for one in errors
    }


def error_of(response):
    """Return the place, the code and the detail of the only error of an invalid request."""
    ((place, code),) = codes_of(response).items()
    return place, code, errors_of(response)[place]


def codes_of(response):
    """Return the code of each error of an invalid request, by its pointer, parameter or header."""
    return errors_of(response, "code")
