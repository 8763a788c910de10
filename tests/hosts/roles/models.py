"""Who does what in a class: only the learners are enrolled in it."""

from django.db import models

from tests.hosts.models import Keyed, Meetup, Member


class Participation(Keyed):
    """A person in a class, with a role that others can change."""

    meetup = models.ForeignKey(Meetup, on_delete=models.CASCADE, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=20, default="learner")
    state = models.CharField(max_length=20, default="requested")

    def __str__(self):
        return f"{self.member} is {self.role}"
