"""Two databases: what is trained and its webhooks in one, the queue in the other."""

from __future__ import annotations

from typing import Any

from django.conf import settings

ELSEWHERE = {"django_q"}


class Router:
    def db_for_read(self, model: Any, **_hints: Any) -> str:
        return "default" if model._meta.app_label in ELSEWHERE else "training"

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        # A copy of the classes stands in the first one, too, for a service that reads them there.
        wanted = {"default"} if app_label in ELSEWHERE else {"training"}
        return db in wanted or (db == "default" and app_label in {"hosts", *settings.SHAPES})
