"""Views that change a class, and a URLconf of them, for the tests of who is behind a change."""

from django.http import HttpResponse
from django.urls import path

from example_project.training.models import TrainingClass


def cancel(_request, key):
    TrainingClass.objects.get(pk=key).cancel()
    return HttpResponse()


async def cancel_asynchronously(_request, key):
    training_class = await TrainingClass.objects.aget(pk=key)
    training_class.confirmation_status_id = 2
    await training_class.asave()
    return HttpResponse()


def cancel_by_program(request, key):
    """Authenticate as an API does: from a header, past the session."""
    request.user = request.api_user  # type: ignore[attr-defined]
    return cancel(request, key)


def raise_error(_request):
    raise ZeroDivisionError


urlpatterns = [
    path("cancel/<int:key>/", cancel),
    path("cancel-asynchronously/<int:key>/", cancel_asynchronously),
    path("cancel-by-program/<int:key>/", cancel_by_program),
    path("raise/", raise_error),
]
