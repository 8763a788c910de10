"""Lessons as classes: a host with several owners, selected rows, and statuses that no column holds."""

from __future__ import annotations

from tms_webhooks import sources

BARE = {"status": sources.Constant("Scheduled"), "name": "title", "course": "", "instructor": ""}


class Lessons(sources.ClassSource):
    owner = "host"
    fields = BARE


class OwnedLessons(sources.ClassSource):
    owner = "owners"
    fields = BARE


class LessonsOfSeries(sources.ClassSource):
    owner = "series.organizations"
    fields = BARE


class ComputedLessons(sources.ClassSource):
    """Its status is computed of a column and of a list."""

    owner = "host"
    fields = {**BARE, "status": ""}
    reads = {"called_off": "called_off", "words": "labels.word", "kind": "series.kind"}

    def derived(self, values):
        if values["called_off"] or "cancelled" in (values["words"] or ()):
            return {"status": "Cancelled"}
        return {"status": 1 if values["kind"] == "sure" else "scheduled"}

    def supplies(self):
        return ("status",)


class LearnersLessons(sources.ClassSource):
    owner = "host"
    fields = BARE
    only = {"role": "learner"}
