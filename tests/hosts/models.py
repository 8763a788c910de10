"""The other host's models."""

import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import models


class Keyed(models.Model):
    """A row whose key is a UUID, and whose bulk operations are events."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


class Tenant(models.Model):
    """An organization by another name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Member(AbstractBaseUser, Keyed):
    """A user model that has little in common with Django's."""

    email = models.EmailField(unique=True)
    given_name = models.CharField(max_length=50)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="members")
    locked = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    # Members manage this host's admin site; there are no permissions.
    is_staff = True

    def __str__(self):
        return self.email

    def has_perm(self, _permission, _obj=None):
        """Let each member do everything."""
        return True

    def has_module_perms(self, _app_label):
        """Let each member see everything."""
        return True


class Topic(models.Model):
    """A course by another name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class PlainClass(Keyed):
    """What the classes of the other shapes have in common: they differ in the rest."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=20, default="scheduled")

    class Meta:
        abstract = True

    def __str__(self):
        return str(self.pk)


class Meetup(Keyed):
    """A class by another name, with its status in a word."""

    class State(models.TextChoices):
        PLANNED = "planned"
        SURE = "sure"
        OFF = "off"

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="meetups")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="meetups")
    lead = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    title = models.CharField(max_length=50)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)

    def __str__(self):
        return self.title


class OnsiteMeetup(Meetup):
    """A row in a table of its own, beside its parent's."""

    room = models.CharField(max_length=20)


class PastMeetup(Meetup):
    """A proxy."""

    class Meta(Keyed.Meta):
        proxy = True

    def call_off(self):
        """Cancel it after all."""
        self.state = self.State.OFF
        self.save()


class Place(Keyed):
    """An enrollment by another name."""

    meetup = models.ForeignKey(Meetup, on_delete=models.CASCADE, related_name="places")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="places")
    state = models.CharField(max_length=10, default="requested")

    def __str__(self):
        return f"{self.member} in {self.meetup}"
