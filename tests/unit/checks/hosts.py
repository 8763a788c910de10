"""Settings of a host that got the organization model wrong, for a process of its own: models are made only once."""

import os

from tests.settings import *  # noqa: F403

TMS_WEBHOOKS_ORGANIZATION_MODEL = os.environ["TMS_TEST_ORGANIZATION_MODEL"] or None
