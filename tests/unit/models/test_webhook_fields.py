"""A field of a webhook that people set is in the API and on the form, unless it is part of another one."""

import pytest

from tms_webhooks.admin.form_parts import FIELDSETS
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.models import Webhook

PARTS = {"id": "made by the app", "credentials": "values of authentication"}
SET = [field.name for field in Webhook._meta.concrete_fields if field.editable and field.name not in PARTS]
ON_THE_FORM = {name for _title, options in FIELDSETS for name in options["fields"]}


@pytest.mark.parametrize("name", SET)
def test_a_field_that_people_set_is_in_the_api_and_on_the_form(name):
    assert name in WebhookSerializer.Meta.fields, "Add it to Meta.fields of the serializer."
    assert name in ON_THE_FORM, "Add it to a fieldset of the form."
