"""Classes whose titles stand in a second table, one row per language."""

from django.db import models, transaction

from tests.hosts.models import PlainClass


class TranslatedClass(PlainClass):
    """A class that saves its row, and then its titles: ``titles`` are those to save, by language."""

    class Meta:
        abstract = True

    def __init__(self, *args, titles=None, **kwargs):
        self.titles = titles or {}
        super().__init__(*args, **kwargs)

    @property
    def title(self):
        """The Dutch title, or else the English one."""
        found = {row.language: row.title for row in self.translations.all()}
        return found.get("nl") or found.get("en")

    def save(self, *args, **kwargs):
        """Save the row, and then its titles."""
        with transaction.atomic(using="training"):
            super().save(*args, **kwargs)
            for language, title in self.titles.items():
                self.translations.update_or_create(language=language, defaults={"title": title})


class Translation(models.Model):
    """The title of a class in one language."""

    language = models.CharField(max_length=5)
    title = models.CharField(max_length=50)

    class Meta:
        abstract = True

    def __str__(self):
        return self.title


class Lecture(TranslatedClass):
    """A class whose source names the property."""


class LectureTranslation(Translation):
    """The title of a lecture in one language."""

    lecture = models.ForeignKey(Lecture, on_delete=models.CASCADE, related_name="translations")

    class Meta:
        unique_together = (("lecture", "language"),)


class Attendance(models.Model):
    """An enrollment in a lecture."""

    lecture = models.ForeignKey(Lecture, on_delete=models.CASCADE, related_name="+")
    member = models.ForeignKey("hosts.Member", on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=20, default="requested")

    def __str__(self):
        return str(self.pk)
