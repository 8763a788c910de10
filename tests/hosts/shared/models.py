"""A class of a course that many organizations have."""

from django.db import models

from tests.hosts.models import Keyed, Tenant


class SharedCourse(Keyed):
    """A course, and the organizations that have it."""

    name = models.CharField(max_length=50)
    tenants = models.ManyToManyField(Tenant, related_name="+")

    def __str__(self):
        return self.name


class SharedClass(Keyed):
    """A class that belongs to the organizations of its course."""

    course = models.ForeignKey(SharedCourse, on_delete=models.CASCADE, related_name="classes")
    title = models.CharField(max_length=50)
    state = models.CharField(max_length=20, default="scheduled")

    def __str__(self):
        return self.title


class SharedPlace(Keyed):
    """An enrollment in a class of several organizations."""

    shared_class = models.ForeignKey(SharedClass, on_delete=models.CASCADE, related_name="places")
    member = models.ForeignKey("hosts.Member", on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=20, default="requested")

    def __str__(self):
        return str(self.pk)
