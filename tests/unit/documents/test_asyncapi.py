"""The AsyncAPI document has the content of the catalogue, and equals the golden file that integrators have.

It lives as a golden file. After a wanted change, write it anew and read the difference::

    python -m tests.goldens
"""

import json
import os
from pathlib import Path

import pytest

from tms_webhooks.documents import asyncapi_document

GOLDEN = Path(__file__).parents[2] / "golden" / "asyncapi.json"


@pytest.fixture
def document():
    return asyncapi_document()


def references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_it_is_the_golden_file(document):
    # A release changes the number, and nothing that the document says.
    document["info"] = {**document["info"], "version": "0"}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")

    assert GOLDEN.read_text(encoding="utf-8") == text, "write it again with python -m tests.goldens, and read it"


def test_every_reference_leads_somewhere(document):
    found = set(references(document))
    for reference in found:
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]

    assert "#/components/schemas/ClassEventData" in found
