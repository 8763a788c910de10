"""The models of a training system whose developers never saw this app: other names, statuses in words, a user model."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class Organization(models.Model):
    title = models.CharField(max_length=100)
    crm_number = models.CharField(max_length=20, blank=True)
    time_zone = models.CharField(max_length=40, default="UTC")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT)


class Person(AbstractUser):
    employer = models.ForeignKey(Organization, null=True, on_delete=models.PROTECT, related_name="people")
    staff_number = models.CharField(max_length=20, blank=True)
    telephone = models.CharField(max_length=30, blank=True)


class Topic(models.Model):
    title = models.CharField(max_length=100)
    code = models.CharField(max_length=20)
    provider = models.ForeignKey(Organization, on_delete=models.PROTECT)


class Venue(models.Model):
    label = models.CharField(max_length=100)
    town = models.CharField(max_length=100)
    postcode = models.CharField(max_length=10)


class Session(models.Model):
    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        OPEN = "open", "Open for booking"
        CONFIRMED = "confirmed", "Runs for sure"
        CALLED_OFF = "called_off", "Called off"
        MOVED = "moved", "Moved to another date"
        HELD = "held", "Held"
        ARCHIVED = "archived", "Archived"

    topic = models.ForeignKey(Topic, on_delete=models.PROTECT)
    trainer = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="+")
    title = models.CharField(max_length=100)
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    begins = models.DateTimeField()
    ends = models.DateTimeField()
    venue = models.ForeignKey(Venue, null=True, on_delete=models.SET_NULL)
    capacity = models.PositiveIntegerField(default=12)
    zoom_link = models.URLField(blank=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)


class Booking(models.Model):
    BOOKING = [
        ("requested", "Requested"),
        ("awaiting", "Awaiting payment"),
        ("waiting_list", "On the waiting list"),
        ("booked", "Booked"),
        ("rejected", "Rejected"),
        ("cancelled", "Cancelled by the customer"),
    ]
    RESULT = [(0, "Not yet known"), (1, "Passed"), (2, "Failed"), (3, "Did not attend")]
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="bookings")
    participant = models.ForeignKey(Person, on_delete=models.CASCADE)
    booked_by = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL, related_name="+")
    state = models.CharField(max_length=20, choices=BOOKING, default="requested")
    result = models.PositiveSmallIntegerField(choices=RESULT, default=0)
    mark = models.DecimalField(max_digits=4, decimal_places=1, null=True)
    created = models.DateTimeField(auto_now_add=True)
    modified = models.DateTimeField(auto_now=True)


class Assignment(models.Model):
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    topic = models.ForeignKey(Topic, on_delete=models.PROTECT)
    assigned_on = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)
    due = models.DateField(null=True)
    percent = models.PositiveSmallIntegerField(default=0)


class Track(models.Model):
    title = models.CharField(max_length=100)
    topics = models.ManyToManyField(Topic)
    active = models.BooleanField(default=True)


class Award(models.Model):
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    badge = models.ForeignKey("Badge", on_delete=models.PROTECT)
    given = models.DateTimeField(auto_now_add=True)
    credits = models.PositiveIntegerField(default=0)


class Badge(models.Model):
    label = models.CharField(max_length=50)


class Coupon(models.Model):
    buyer = models.ForeignKey(Organization, on_delete=models.PROTECT)
    code = models.CharField(max_length=20, unique=True)
    topic = models.ForeignKey(Topic, null=True, on_delete=models.PROTECT)
    valid_until = models.DateField(db_index=True)
    used_on = models.DateTimeField(null=True)
    used_by = models.ForeignKey(Person, null=True, on_delete=models.SET_NULL)


class Review(models.Model):
    booking = models.ForeignKey(Booking, on_delete=models.CASCADE)
    stars = models.PositiveSmallIntegerField()
    text = models.TextField(blank=True)
    written = models.DateTimeField(auto_now_add=True)
