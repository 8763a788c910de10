"""A class that has no status: a boolean and a tag stand for it."""

from django.db import models

from tests.hosts.models import Keyed, Tenant, Topic


class Tag(models.Model):
    """A word that staff put on classes."""

    word = models.CharField(max_length=20, unique=True)

    def __str__(self):
        return self.word


class TaggedClass(Keyed):
    """A class that is held if it is active, unless it has the tag "cancelled"."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=50)
    is_active = models.BooleanField(default=True)
    tags = models.ManyToManyField(Tag, blank=True)

    def __str__(self):
        return self.title
