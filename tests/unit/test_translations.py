"""Every text of the app has a Spanish translation that fits it, and Django reads the one that is written."""

from __future__ import annotations

import gettext
import re

import polib
import pytest
from django.utils import translation

from tests.messages import CATALOG, messages
from tms_webhooks.catalogue import get, status_value
from tms_webhooks.choices import ClassStatus, DeliveryStatus

PLACEHOLDER = re.compile(r"%\(\w+\)[.\d]*\w|%%|\{\w*\}|(?<!&)#")
WRITTEN = {entry.msgid: entry for entry in polib.pofile(str(CATALOG))}
TEXTS = messages()
REMEDY = "run python -m tests.messages, translate what is new in the .po file, and run it again"


def translations_of(text: str) -> list[str]:
    entry = WRITTEN[text]
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_every_text_is_in_the_catalog_and_nothing_else_is():
    assert {text for text, _plural in TEXTS} == set(WRITTEN), REMEDY


def test_no_text_lacks_a_translation():
    lacking = [text for text in WRITTEN if not all(translations_of(text))]

    assert lacking == [], REMEDY


@pytest.mark.parametrize("text", [text for text in WRITTEN if PLACEHOLDER.search(text)])
def test_a_translation_has_the_placeholders_of_its_text(text):
    entry = WRITTEN[text]
    wanted = sorted(PLACEHOLDER.findall(entry.msgid_plural or text))
    if "{tokens}" in text:
        wanted = sorted("{marcadores}" if one == "{tokens}" else one for one in wanted)

    for translated in translations_of(text):
        assert sorted(PLACEHOLDER.findall(translated)) == wanted


def test_blanks_and_lines_at_the_ends_are_kept():
    for text in WRITTEN:
        for translated in translations_of(text):
            assert (translated[0].isspace(), translated[-1].isspace()) == (text[0].isspace(), text[-1].isspace()), text


def test_the_compiled_catalog_is_the_written_one():
    with CATALOG.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for text, entry in WRITTEN.items():
        if entry.msgid_plural:
            got = [compiled.ngettext(text, entry.msgid_plural, number) for number in (1, 2)]
        else:
            got = [compiled.gettext(text)]
        assert got == translations_of(text), REMEDY


def test_people_read_it_and_payloads_stay_as_they_are():
    with translation.override("es"):
        assert str(DeliveryStatus.DELIVERED.label) == "Entregada"
        assert status_value(ClassStatus.CANCELLED) == {"code": 2, "name": "Cancelled"}
        assert "was called off" in str(get("class.cancelled").schema())
