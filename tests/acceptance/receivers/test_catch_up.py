"""docs/howto/receive/index.md: what was missed is read from the feed, once, by a key of the API."""

import os

import pytest

from example_project.training.access import TrainingPolicy
from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from example_project.training.models import ApiKey
from tests import forks
from tests.acceptance.receivers import pages
from tests.acceptance.receivers.test_receivers import ids_in
from tests.factories import WebhookFactory
from tms_webhooks.choices import Action
from tms_webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_reads_on_where_it_stopped(live_server, tmp_path, drain):
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["class.*"], enabled=False)
    WebhookFactory(events=["class.*"])
    _key, clear = ApiKey.objects.create_key(name="CRM", organization=organization)
    pages.write(tmp_path, "index")

    def catch_up():
        environment = {**os.environ, "TMS_API": f"{live_server.url}/api", "TMS_AUTHORIZATION": f"Api-Key {clear}"}
        done = forks.run("catch_up.py", cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return ids_in(tmp_path / "inbox.sqlite3", "inbox") if (tmp_path / "inbox.sqlite3").exists() else []

    assert catch_up() == []
    first = TrainingClassFactory(organization=organization)
    TrainingClassFactory()  # of somebody else
    drain()
    assert catch_up() == ids_of(organization)
    first.cancel()
    drain()
    assert catch_up() == ids_of(organization)
    assert len(ids_of(organization)) == 2
    assert catch_up() == ids_of(organization)


def test_it_stops_at_an_event_whose_payload_the_key_may_not_view(live_server, tmp_path, drain, settings_of_app):
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["class.*"], enabled=False)
    _key, clear = ApiKey.objects.create_key(name="CRM", organization=organization)
    TrainingClassFactory(organization=organization)
    drain()
    settings_of_app(ACCESS_POLICY=f"{__name__}.WithoutPayloads")
    pages.write(tmp_path, "index")

    done = forks.run(
        "catch_up.py",
        cwd=tmp_path,
        env={**os.environ, "TMS_API": f"{live_server.url}/api", "TMS_AUTHORIZATION": f"Api-Key {clear}"},
    )

    assert (done.returncode, "view_payload" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "cursor.txt").exists()


class WithoutPayloads(TrainingPolicy):
    """The policy of the example, without the right to view payloads."""

    def organizations(self, request, action):
        allowed = super().organizations(request, action)
        return allowed.none() if action == Action.VIEW_PAYLOAD else allowed


def ids_of(organization):
    return [event.public_id for event in Event.objects.filter(organization=organization).order_by("pk")]
