"""A class, and a class that extends it by a table of its own."""

from django.conf import settings
from django.db import models

from tests.hosts.models import PlainClass


class Training(PlainClass):
    """A class by another name."""

    title = models.CharField(max_length=50)
    trainers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")


class OnlineTraining(Training):
    """A class with columns in a table of its own."""

    meeting = models.CharField(max_length=50)
    seats = models.IntegerField(default=10)
