"""The admin pages of all models, with titles on the pages of their classes."""

from django.apps import apps
from django.conf import settings
from django.contrib import admin

from tests.hosts.translated.models import Lecture, LectureTranslation

TITLES = type("TitleInline", (admin.TabularInline,), {"model": LectureTranslation, "extra": 1})

for shape in ["hosts", *settings.SHAPES]:
    for model in apps.get_app_config(shape).get_models():
        inlines = [TITLES] if model is Lecture else []
        admin.site.register(model, type("RowAdmin", (admin.ModelAdmin,), {"inlines": inlines}))
