"""These tests need this host's settings; with any others they are not collected."""

import json
import os

import pytest

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.hosts.settings":
    collect_ignore_glob = ["*test_*.py"]
else:
    from tests.hosts.inherited.models import OnlineTraining
    from tests.hosts.models import Meetup, Member, Tenant, Topic
    from tests.hosts.people.models import Account, Learner, Person, Study
    from tests.hosts.roles.models import Participation
    from tests.hosts.softdeleted.models import Clinic
    from tests.hosts.tagged.models import TaggedClass
    from tests.hosts.translated.models import Lecture
    from tests.hosts.versioned.models import RecordedCourse, RevertedCourse
    from tests.outbox import number_events, prune_events
    from tms_webhooks.models import Event, Webhook

    @pytest.fixture
    def tenant():
        """A tenant that hears of everything."""
        tenant = Tenant.objects.create(name="Acme")
        webhook = Webhook.objects.create(organization=tenant, name="All", url="https://receiver.example/")
        webhook.subscriptions.create(event_type="*")
        return tenant

    @pytest.fixture
    def topic():
        return Topic.objects.create(name="Azure")

    def made(model, **values):
        """Return a fixture that makes an object of the tenant, before the events that a test reads."""

        @pytest.fixture
        def made(request):
            named = {name: request.getfixturevalue(value) for name, value in values.items() if value == name}
            obj = model.objects.create(**values | named)
            prune_events()
            return obj

        return made

    OWN = {"tenant": "tenant", "topic": "topic"}
    meetup = made(Meetup, **OWN, title="Azure, mornings")
    member = made(Member, tenant="tenant", email="alice@example.com", given_name="Alice", password="!")
    online = made(OnlineTraining, **OWN, title="Azure", meeting="Meet 1")
    learner = made(Learner, tenant="tenant", name="Alice")
    account = made(Account, tenant="tenant", name="Bob")
    person = made(Person, tenant="tenant", name="Dan")
    study = made(Study, person="person")
    participant = made(Participation, meetup="meetup", member="member")
    trainer = made(Participation, meetup="meetup", member="member", role="trainer")
    clinic = made(Clinic, **OWN, title="Azure")
    tagged = made(TaggedClass, **OWN, title="Azure")
    lecture = made(Lecture, **OWN, titles={"en": "Azure", "de": "Azurblau"})
    kept_in_history = made(RecordedCourse, **OWN, title="Azure")
    kept_in_revisions = made(RevertedCourse, **OWN, title="Azure")

    @pytest.fixture
    def recorded():
        """Return what is in the outbox, which stands in the second database."""

        def read():
            number_events()
            return [json.loads(event.body) for event in Event.objects.using("training").order_by("pk")]

        return read
