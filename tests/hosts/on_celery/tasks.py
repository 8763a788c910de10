"""The host's Celery app and tasks."""

from celery import Celery
from django.db import transaction

from tests.hosts.models import Meetup
from tests.threads import close_connections

app = Celery("hosts", broker="memory://", backend="cache+memory://")
app.conf.update(task_store_eager_result=False, worker_hijack_root_logger=False)


class Unavailable(Exception):
    """Another system does not answer yet."""


@app.task
def call_off(key):
    """Cancel a class and rename it, in one transaction."""
    with transaction.atomic(using="training"):
        meetup = Meetup.objects.select_for_update().get(pk=key)
        meetup.state = Meetup.State.OFF
        meetup.save(update_fields=["state"])
        meetup.title = f"{meetup.title} (off)"
        meetup.save(update_fields=["title"])


@app.task(bind=True, autoretry_for=(Unavailable,), max_retries=3, default_retry_delay=0)
def call_off_when_available(self, key):
    """Cancel a class; fail after the change, inside the transaction, as long as another system is away."""
    with transaction.atomic(using="training"):
        meetup = Meetup.objects.get(pk=key)
        meetup.state = Meetup.State.OFF
        meetup.save()
        if self.request.retries < 2:
            raise Unavailable


@app.task
def call_off_all():
    """Cancel all classes in one statement."""
    return Meetup.objects.update(state="off")


@app.task
def hang_up():
    """Close the database connections of the worker's thread."""
    close_connections()
