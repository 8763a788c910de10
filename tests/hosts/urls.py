"""The admin, and views that change a meetup: at once, in a transaction of the request, and asynchronously."""

from django.contrib import admin
from django.db import connections
from django.http import HttpResponse
from django.urls import path

from tests.hosts.models import Meetup
from tms_webhooks.manage.tests import outside_transactions


def rename(request, title):
    meetup = Meetup.objects.get()
    meetup.title = title
    meetup.save()
    if title == "fail":
        raise ZeroDivisionError
    return HttpResponse()


async def arename(request, title):
    meetup = await Meetup.objects.aget()
    meetup.title = title
    await meetup.asave()
    return HttpResponse()


async def aupdate(request, title):
    await Meetup.objects.aupdate(title=title)
    return HttpResponse()


@outside_transactions
def outside(request):
    return HttpResponse(",".join(alias for alias in connections if connections[alias].in_atomic_block))


urlpatterns = [
    path("admin/", admin.site.urls),
    path("rename/<title>", rename),
    path("arename/<title>", arename),
    path("aupdate/<title>", aupdate),
    path("outside", outside),
]
