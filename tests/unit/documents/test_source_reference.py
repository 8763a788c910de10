"""The reference of sources names everything that a source has, and its examples work."""

import inspect
import re

import pytest
from django.db.models import Q

from example_project.training import models
from tests.catalogue import only_canonical
from tests.source_reference import change_of, page_of, pages, source_classes, to_markdown
from tms_webhooks import sources
from tms_webhooks.checks import sources as source_checks
from tms_webhooks.choices import ClassStatus
from tms_webhooks.sources import Source, registry
from tms_webhooks.sources.deadlines import ClosedWhen

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", to_markdown(), re.MULTILINE | re.DOTALL)


def listed_fields(section, noun):
    """Return the names of the fields in the list of default paths. ``course.*`` are all fields of a course."""
    paths = section.partition("Default paths:\n\n")[2].partition("\n\n")[0]
    cells = " ".join(re.findall(r"^- (.*): ", paths, re.MULTILINE))
    names = re.findall(r"`([\w.]+)(\.\*)?`", re.sub(r" \((?:each:|with) [^)]*\)", "", cells))
    parts = {name for name, has_parts in names if has_parts}
    return {name for name, _ in names} | {one.name for one in noun.fields if one.name.rpartition(".")[0] in parts}


def test_every_source_class_has_a_section_with_its_fields_and_events():
    for source_class in source_classes():
        page = pages()[page_of(source_class)]
        section = page.partition(f"\n## {source_class.__name__}\n")[2].partition("\n## ")[0]
        if source_class is not sources.ActivityProgressSource:
            assert {field.name for field in source_class.noun.fields} - listed_fields(
                section, source_class.noun
            ) == set()
        names = [name for rule in source_class.rules for name in rule.event_types]
        listed = re.findall(
            r"`([\w.]+)`", "".join(re.findall(r"^- (`.*?): ", section.partition("Events:\n")[2], re.MULTILINE))
        )
        assert [name for name in names if name not in listed] == []


def test_every_attribute_that_a_host_may_set_has_a_section():
    declared = [name for name in inspect.get_annotations(Source) if not name.startswith("_")]
    assert [name for name in declared if f"\n### {name}" not in to_markdown()] == []


def test_each_rule_says_for_each_of_its_events_which_change_emits_it():
    for source_class in source_classes():
        for rule in source_class.rules:
            for event_type in rule.event_types:
                assert re.fullmatch(r"[A-Z`].+\.", change_of(rule, event_type, source_class.noun)), (rule, event_type)


@pytest.fixture
def run(monkeypatch):
    """Run an example of the page with nothing registered, and return the sources that it registers."""

    def run(code):
        monkeypatch.setattr(registry, "_sources", {})
        namespace = {**vars(models), "sources": sources, "ClassStatus": ClassStatus, "ClosedWhen": ClosedWhen, "Q": Q}
        with only_canonical():
            exec(compile(code, "sources/index.md", "exec"), namespace)
        return registry.all_sources()

    return run


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: re.findall(r"class (\w+)", code)[-1])
def test_the_checks_find_no_error_in_an_example(run, code):
    (source,) = run(code)
    messages = [message.msg for message in source_checks.check_sources() if message.obj is source]
    assert messages == []
