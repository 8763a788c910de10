"""The models of the host."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    """An organization."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Topic(models.Model):
    """A course."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Session(models.Model):
    """A class."""

    name = models.CharField(max_length=100)
    status = models.IntegerField(default=0)
    course = models.ForeignKey(Topic, models.CASCADE)
    customer = models.ForeignKey(Customer, models.CASCADE)

    def __str__(self) -> str:
        return self.name
