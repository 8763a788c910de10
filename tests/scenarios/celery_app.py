"""The Celery app of a scenario's processes, as a host has one."""

from celery import Celery
from celery.signals import setup_logging

app = Celery("scenario")
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def keep_the_logging_of_django(**_kwargs):
    """Keep Celery from adding a handler of its own, which would repeat each line."""
