"""The API works without drf-spectacular, and its document is the same whatever schema class the host has for its own views."""

import json

import pytest

from tests.scripts import run_script
from tms_webhooks.api.schema.resources import ResourceSchema
from tms_webhooks.api.schema.urls import document
from tms_webhooks.api.urls import router

WITHOUT = """
import sys
sys.modules["drf_spectacular"] = None
from tests import settings
settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if not app.startswith("drf_spectacular")]
settings.REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None}
settings.ROOT_URLCONF = "tms_webhooks.api.urls"
import django
django.setup()
from django.test import Client
from tms_webhooks.api.urls import router
assert [name for name in sys.modules if name.startswith("drf_spectacular.")] == []
answer = Client(headers={"host": "localhost"}).get("/event-types/")
print(answer.status_code, answer.json()["type"])
print(*sorted({url.name for url in router.urls}))
"""

OTHER_SCHEMA_CLASS = """
from tests import settings
settings.REST_FRAMEWORK["DEFAULT_SCHEMA_CLASS"] = "rest_framework.schemas.openapi.AutoSchema"
import django
django.setup()
import json
from tms_webhooks.api.schema.urls import document
print(json.dumps(document()))
"""


def test_every_route_is_there_without_drf_spectacular():
    answer, names = run_script(WITHOUT).stdout.splitlines()

    assert answer == "403 urn:tms-webhooks:problem:forbidden"
    assert names.split() == sorted({url.name for url in router.urls})


@pytest.mark.slow
def test_the_schema_class_of_the_host_does_not_change_the_document():
    assert json.loads(run_script(OTHER_SCHEMA_CLASS).stdout) == document()


def test_no_private_method_of_drf_spectacular_is_overridden():
    inherited = {name for base in ResourceSchema.__mro__[1:] for name in vars(base)}
    private = {name for name in vars(ResourceSchema) if name.startswith("_") and not name.startswith("__")}

    assert private & inherited == set()
