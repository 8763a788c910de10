"""An account, a learner that extends it by a table of its own, and a row that makes an account a student."""

from django.db import models

from tests.hosts.models import Keyed, Tenant


class Team(Keyed):
    """A group of accounts."""

    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Account(Keyed):
    """A person with an account, such as one of the staff."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=50)
    teams = models.ManyToManyField(Team, blank=True, related_name="+")

    def __str__(self):
        return self.name


class Learner(Account):
    """An account with columns in a table of its own; only these are users of the training system."""

    city = models.CharField(max_length=50, default="Oslo")


class Person(Keyed):
    """A person who is a student while a row beside theirs says so."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=50)

    def __str__(self):
        return self.name


class Study(Keyed):
    """What makes a person a student."""

    person = models.OneToOneField(Person, on_delete=models.CASCADE)
    kind = models.CharField(max_length=20, default="student")

    def __str__(self):
        return self.kind
