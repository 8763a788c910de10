"""A class whose organization is assigned after it was created."""

from django.db import models

from tests.hosts.models import Keyed, Tenant, Topic


class Program(Keyed):
    """What classes belong to; it may get its organization later, too."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="+")

    def __str__(self):
        return str(self.pk)


class Proposal(Keyed):
    """A class that is proposed before it is known who holds it."""

    topic = models.ForeignKey(Topic, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    program = models.ForeignKey(Program, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    title = models.CharField(max_length=50)
    state = models.CharField(max_length=20, default="tentative")

    def __str__(self):
        return self.title
