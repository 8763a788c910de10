"""Models that extend others, stand proxy, bring their own keys, or misbehave."""

import uuid

from django.db import connections, models


class Workshop(models.Model):
    """A model that is extended, and has properties that go wrong."""

    organization = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=100)
    state = models.CharField(max_length=20, default="planned")
    seats = models.IntegerField(default=10)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self):
        return self.title

    @property
    def headline(self):
        """What only Python can tell."""
        return f"{self.title} for {self.seats}"

    @property
    def broken(self):
        """Raise, quoting what is nobody's business."""
        raise RuntimeError(f"{self.title} is broken")

    @property
    def failing(self):
        """Run a query that the database refuses."""
        with connections[self._state.db or "default"].cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM testapp_workshop")
        return ""


class PastWorkshop(Workshop):
    """A proxy."""

    class Meta:
        proxy = True


class OnsiteWorkshop(Workshop):
    """A row in a table of its own, beside its parent's."""

    room = models.CharField(max_length=20)


class Caterer(models.Model):
    """A second parent, whose keys are other numbers."""

    caterer_id = models.BigAutoField(primary_key=True)
    menu = models.CharField(max_length=20)

    def __str__(self):
        return self.menu


class Banquet(Caterer, Workshop):
    """A child of two parents: its key is the caterer's, and not the workshop's."""


class Ticket(models.Model):
    """A model whose key is known before the row is there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    organization = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=100)
    seats = models.IntegerField(default=1)

    def __str__(self):
        return self.title


class Plaque(models.Model):
    """A model whose key the database makes, and which may be nobody's."""

    code = models.CharField(max_length=20, primary_key=True, db_default="main")
    organization = models.ForeignKey(
        "training.Organization", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    title = models.CharField(max_length=100)

    def __str__(self):
        return self.title


class Seat(models.Model):
    """A model whose key is a pair."""

    pk = models.CompositePrimaryKey("row", "number")
    row = models.IntegerField()
    number = models.IntegerField()
    organization = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=100)

    def __str__(self):
        return self.title


class Talk(models.Model):
    """A model with relations by a table of the host's, to itself, and to what has texts as keys."""

    organization = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")
    title = models.CharField(max_length=100)
    speakers = models.ManyToManyField("training.User", through="Speech", related_name="+")
    kindred = models.ManyToManyField("self")
    prizes = models.ManyToManyField("Plaque", related_name="+")

    def __str__(self):
        return self.title


class Speech(models.Model):
    """Who speaks in a talk, and for how long."""

    talk = models.ForeignKey(Talk, on_delete=models.CASCADE)
    speaker = models.ForeignKey("training.User", on_delete=models.CASCADE, related_name="+")
    minutes = models.IntegerField(default=30)

    def __str__(self):
        return f"{self.speaker} in {self.talk}"


class DatedAssignment(models.Model):
    """A course assignment of a host with keys of its own, days without a time, and statuses in words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.ForeignKey("training.User", on_delete=models.CASCADE, related_name="+")
    course = models.ForeignKey("training.Course", on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=20, null=True, default="active")  # noqa: DJ001 (a host may do so)
    started_on = models.DateField(null=True)
    completed_on = models.DateField(null=True)
    expires_on = models.DateField(null=True, db_index=True)
    percent = models.FloatField(default=0)

    def __str__(self):
        return str(self.id)


class Label(models.Model):
    """A word that lessons are marked with."""

    word = models.CharField(max_length=20)

    def __str__(self):
        return self.word


class Series(models.Model):
    """What lessons belong to."""

    organizations = models.ManyToManyField("training.Organization", related_name="+")
    kind = models.CharField(max_length=20, default="open")

    def __str__(self):
        return self.kind


class Lesson(models.Model):
    """A model whose owners, statuses and existence no single column shows."""

    title = models.CharField(max_length=100)
    # Who holds it; unknown at first.
    host = models.ForeignKey("training.Organization", on_delete=models.SET_NULL, null=True, related_name="+")
    # Who holds it instead of the host.
    deputy = models.ForeignKey("training.Organization", on_delete=models.SET_NULL, null=True, related_name="+")
    owners = models.ManyToManyField("training.Organization", related_name="+")
    series = models.ForeignKey(Series, on_delete=models.CASCADE, null=True, related_name="lessons")
    learner = models.ForeignKey("training.User", on_delete=models.SET_NULL, null=True, related_name="+")
    labels = models.ManyToManyField(Label, related_name="+")
    is_open = models.BooleanField(default=True)
    called_off = models.BooleanField(default=False)
    role = models.CharField(max_length=20, default="learner")

    def __str__(self):
        return self.title


class Attendance(models.Model):
    """Who takes a lesson."""

    lesson = models.ForeignKey(Lesson, on_delete=models.CASCADE, related_name="+")
    learner = models.ForeignKey("training.User", on_delete=models.CASCADE, related_name="+")

    def __str__(self):
        return f"{self.learner} in {self.lesson}"


class Region(models.Model):
    """Where sites are."""

    tenant = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")

    def __str__(self):
        return f"region {self.pk}"


class Site(models.Model):
    """A place that belongs to an organization in several ways."""

    tenant = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")
    region = models.ForeignKey(Region, on_delete=models.CASCADE, related_name="+")

    def __str__(self):
        return f"site {self.pk}"


class Lease(models.Model):
    """Who rents a site."""

    site = models.OneToOneField(Site, on_delete=models.CASCADE, related_name="lease")
    tenant = models.ForeignKey("training.Organization", on_delete=models.CASCADE, related_name="+")

    def __str__(self):
        return f"lease of {self.site}"


class Visitor(models.Model):
    """A user whose organization is behind the site, which no payload shows."""

    code = models.CharField(max_length=20, unique=True)
    first_name = models.CharField(max_length=50)
    site = models.ForeignKey(Site, on_delete=models.SET_NULL, null=True, related_name="+")
    tenant = models.ForeignKey("training.Organization", on_delete=models.SET_NULL, null=True, related_name="+")

    def __str__(self):
        return self.code

    @property
    def landlord(self):
        """The organization that rents the site out."""
        return self.site and self.site.region.tenant


class Guest(Visitor):
    """A visitor with a row of its own, beside that of the visitor."""

    locker = models.CharField(max_length=20)
