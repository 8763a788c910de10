"""The database of a scenario's processes, as the tests see it while they work."""

import time
from collections import Counter, defaultdict

from django.db import connections
from django.utils import timezone

from example_project.training.models import Organization
from tests.integration.delivery.rows import new_event
from tests.patience import PATIENCE
from tests.scenarios.outbox import show
from tms_webhooks.models import Delivery, Event, PeriodicRun, Subscription, Webhook
from tms_webhooks.queues import periodic_jobs


class Tables:
    """Reads them. ``using`` is the alias for what a test reads or writes itself."""

    def __init__(self, using):
        self.using = using

    @property
    def connection(self):
        """The tests' own connection."""
        return connections[self.using]

    @property
    def organization(self):
        """The organization of the webhooks that `subscribe` makes."""
        return Organization.objects.using(self.using).get_or_create(name="Alder Freight")[0]

    def subscribe(self, receiver, path, **fields):
        """Make a webhook at this path of a receiver that gets all events of the organization."""
        url = f"http://127.0.0.1:{receiver.port}/{path}"
        webhook = Webhook(organization=self.organization, name=path, url=url, **fields)
        webhook.save(using=self.using)
        Subscription.objects.using(self.using).create(webhook=webhook, event_type="*")

    def outcome(self):
        """Return the rows, as `outbox.show` tells them."""
        return show(self.using)

    def statuses(self):
        """Return how many deliveries have each status."""
        return Counter(Delivery.objects.using(self.using).values_list("status", flat=True))

    def numbers(self):
        """Return the numbers of each delivery's attempts, in the order of both, without the late ones."""
        numbers = defaultdict(list)
        for delivery, number, _status in self.outcome()["attempts"]:
            if number is not None:
                numbers[delivery].append(number)
        return dict(numbers)

    def add_events(self, number):
        """Write so many more events of the organization that there is. No drain is woken."""
        organization = Organization.objects.using(self.using).get()
        written = Event.objects.using(self.using).count()
        events = [new_event(organization) for _ in range(number)]
        for position, event in enumerate(events, start=written):
            # Another process has counted from 1 before.
            event.subject_id, event.occurred_at = f"added-{position}", timezone.now()
        Event.objects.using(self.using).bulk_create(events)

    def wait_until(self, what, *, seconds=PATIENCE):
        """Wait until something is so; fail the test after ``seconds``."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.outcome()
            time.sleep(0.02)

    def wait_until_all_jobs_ran(self):
        """Wait until each periodic job has begun. Other rows than theirs don't count: some are only locked."""
        jobs = {job.function for job in periodic_jobs()}
        runs = PeriodicRun.objects.using(self.using)
        self.wait_until(lambda: jobs <= set(runs.values_list("function", flat=True)))

    def wait_for(self, statuses, *, seconds=PATIENCE):
        """Wait until so many deliveries have each status, and no other one; fail the test after ``seconds``."""
        self.wait_until(lambda: self.statuses() == Counter(statuses), seconds=seconds)
