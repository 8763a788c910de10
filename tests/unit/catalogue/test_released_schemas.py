"""A schema that was published stays as it is: receivers were written against it.

Each version of each event type has a golden file in ``tests/golden/schemas``. A new version gets a new file, and the old
one stays. Write new files with::

    python -m tests.goldens

Only an addition may change a file that is there.
"""

import json
import os
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.unit.catalogue.conftest import each_event_type
from tms_webhooks import catalogue
from tms_webhooks.catalogue.types import BUILT_IN

GOLDEN = Path(__file__).parents[2] / "golden" / "schemas"
WRITE_GOLDEN = "TMS_WEBHOOKS_WRITE_GOLDEN"
REGENERATE = "python -m tests.goldens"


def path_of(event_type):
    return GOLDEN / f"{event_type.name}.v{event_type.version}.json"


def text_of(event_type):
    return json.dumps(event_type.schema(), separators=(",", ":")) + "\n"


@pytest.fixture(scope="module", autouse=True)
def written():
    """Write the files if that is asked for, before any test reads one."""
    if os.environ.get(WRITE_GOLDEN):
        for event_type in BUILT_IN:
            path_of(event_type).write_text(text_of(event_type), encoding="utf-8")


@each_event_type
def test_the_newest_version_has_the_schema_that_was_published(event_type):
    path, text = path_of(event_type), text_of(event_type)
    assert path.exists(), f"{path.name} is missing; write it with {REGENERATE}"
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(text), (
        f"The schema of {event_type.name}, version {event_type.version}, is published and changed. What breaks a receiver "
        f"is a new version; for an addition {REGENERATE}"
    )


@each_event_type
def test_each_published_schema_accepts_the_sample(event_type):
    schema = json.loads(path_of(event_type).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(event_type.example())


def test_no_schema_is_withdrawn():
    for path in GOLDEN.iterdir():
        name, _, version = path.stem.rpartition(".v")
        assert int(version) <= catalogue.get(name).version
