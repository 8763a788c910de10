"""The models of a second stranger: Django's own user, organizations behind lists, a table of statuses."""

from __future__ import annotations

from django.conf import settings
from django.db import models

User = settings.AUTH_USER_MODEL


class Client(models.Model):
    company_name = models.CharField(max_length=100)


class Profile(models.Model):
    user = models.OneToOneField(User, on_delete=models.CASCADE)
    client = models.ForeignKey(Client, on_delete=models.CASCADE)


class Course(models.Model):
    title = models.CharField(max_length=100)
    clients = models.ManyToManyField(Client)


class Status(models.Model):
    label = models.CharField(max_length=20)


class Event(models.Model):
    course = models.ForeignKey(Course, on_delete=models.CASCADE)
    status = models.ForeignKey(Status, on_delete=models.PROTECT)
    start_date = models.DateField()
    end_date = models.DateField()
    teachers = models.ManyToManyField(User)


class Registration(models.Model):
    event = models.ForeignKey(Event, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    cancelled = models.BooleanField(default=False)
    paid = models.BooleanField(default=False)
    registered_at = models.DateTimeField(auto_now_add=True)


class Certificate(models.Model):
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE)
    course = models.ForeignKey(Course, on_delete=models.CASCADE)
    issued_on = models.DateField()


class Membership(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    plan = models.CharField(max_length=20)
    valid_from = models.DateField()
    valid_until = models.DateField(null=True)
    cancelled_on = models.DateField(null=True)


class Coupon(models.Model):
    client = models.ForeignKey(Client, on_delete=models.CASCADE)
    code = models.CharField(max_length=20)
    redeemed_at = models.DateTimeField(null=True)
    is_deleted = models.BooleanField(default=False)


class Feedback(models.Model):
    registration = models.ForeignKey(Registration, null=True, on_delete=models.SET_NULL)
    course = models.ForeignKey(Course, null=True, on_delete=models.CASCADE)
    deleted_at = models.DateTimeField(null=True)
    rating = models.IntegerField()
    comment = models.TextField()
