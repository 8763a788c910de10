"""Two databases: what is trained and its webhooks in one, the queue in the other."""

from django.conf import settings

ELSEWHERE = {"django_q"}


class Router:
    def db_for_read(self, model, **_hints):
        return "default" if model._meta.app_label in ELSEWHERE else "training"

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **_hints):
        # A copy of the classes stands in the first one, too, for a service that reads them there.
        wanted = {"default"} if app_label in ELSEWHERE else {"training"}
        return db in wanted or (db == "default" and app_label in {"hosts", *settings.SHAPES})
