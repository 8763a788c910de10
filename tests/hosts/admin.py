"""The admin pages of all models, with titles on the pages of their classes."""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.contrib import admin

from tests.hosts.translated import models

INLINES = {
    model: type("TitleInline", (admin.TabularInline,), {"model": titles, "extra": 1})
    for model, titles in ((models.Lecture, models.LectureTranslation), (models.Reading, models.ReadingTranslation))
}

for shape in ["hosts", *settings.SHAPES]:
    for model in apps.get_app_config(shape).get_models():
        inlines = [INLINES[model]] if model in INLINES else []
        admin.site.register(model, type("RowAdmin", (admin.ModelAdmin,), {"inlines": inlines}))
