"""The host's organization model, as its setting names it."""

from __future__ import annotations

from django.conf import settings

from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.exceptions import ConfigurationError


def organization_model() -> str:
    """Return the host's organization model as ``app_label.ModelName``.

    Raise `ConfigurationError` if the setting is missing or has another form: the models can't be imported without it.
    """
    name = getattr(settings, ORGANIZATION_MODEL_SETTING, None)
    if not isinstance(name, str) or name.count(".") != 1 or not all(name.split(".")):
        raise ConfigurationError(
            f"{ORGANIZATION_MODEL_SETTING} is {name!r}; set it to your organization model as "
            "'app_label.ModelName', for example 'training.Organization', before the first migrate."
        )
    return name
