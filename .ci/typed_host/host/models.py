"""The models of the host. None of them mentions webhooks."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models


class Organization(models.Model):
    """A customer."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Person(AbstractUser):
    """A learner, or a user who manages webhooks."""

    employer = models.ForeignKey(Organization, models.PROTECT, null=True)
    is_manager = models.BooleanField(default=False)


class Session(models.Model):
    """A class."""

    class State(models.IntegerChoices):
        """The host's own statuses."""

        OPEN = 1
        OFF = 2

    title = models.CharField(max_length=100)
    state = models.IntegerField(choices=State, default=State.OPEN)
    owner = models.ForeignKey(Organization, models.CASCADE)
    cost_center = models.CharField(max_length=20, blank=True)

    def __str__(self) -> str:
        return self.title


class Certificate(models.Model):
    """An object that the catalogue does not know."""

    person = models.ForeignKey(Person, models.CASCADE)
    title = models.CharField(max_length=100)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.title
