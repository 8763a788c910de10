"""Classes of which other packages keep old versions."""

import reversion
from django.conf import settings
from django.db import models
from simple_history.models import HistoricalRecords

from tests.hosts.models import PlainClass


class Course(PlainClass):
    """What both versioned classes have."""

    title = models.CharField(max_length=50)
    trainers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")

    class Meta:
        abstract = True


class RecordedCourse(Course):
    """A class with a table of its history, by django-simple-history."""

    history = HistoricalRecords(m2m_fields=["trainers"])


@reversion.register
class RevertedCourse(Course):
    """A class whose versions django-reversion keeps."""
