"""Lessons as classes: a host with several owners, selected rows, and statuses that no column holds."""

from tms_webhooks import sources

BARE = {"status": sources.Constant("Scheduled"), "name": "title", "course": None, "instructor": None}


class Lessons(sources.ClassSource):
    owner = "host"
    fields = BARE


class OwnedLessons(sources.ClassSource):
    owner = "owners"
    fields = BARE


class LessonsOfSeries(sources.ClassSource):
    owner = "series.organizations"
    fields = BARE


def status_of(called_off, words, kind):
    if called_off or "cancelled" in (words or ()):
        return "Cancelled"
    return 1 if kind == "sure" else "scheduled"


class ComputedLessons(sources.ClassSource):
    """Its status is computed of a column and of a list."""

    owner = "host"
    fields = {
        **BARE,
        "status": sources.Computed(
            status_of, reads={"called_off": "called_off", "words": "labels.word", "kind": "series.kind"}
        ),
    }


class LearnersLessons(sources.ClassSource):
    owner = "host"
    fields = BARE
    only = {"role": "learner"}
