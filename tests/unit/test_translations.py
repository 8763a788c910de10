"""Every text of the app has a Spanish translation that fits it, and Django reads the one that is written."""

import gettext
import re

import polib
from django.utils import translation

from tests.each import each
from tests.messages import CATALOG, messages
from tms_webhooks.catalogue import get, status_value
from tms_webhooks.choices import ClassStatus, DeliveryStatus

PLACEHOLDER = re.compile(r"%\(\w+\)[.\d]*\w|%%|\{\w*\}|(?<!&)#")
WRITTEN = {(entry.msgid, entry.msgctxt or ""): entry for entry in polib.pofile(str(CATALOG))}
DJANGOS_OWN = {"No, take me back", "View"}
"""What the admin says itself, in the same places."""
REMEDY = "run python -m tests.messages, translate what is new in the .po file, and run it again"


def translations_of(text, context=""):
    entry = WRITTEN[text, context]
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_every_text_is_in_the_catalog_and_nothing_else_is():
    assert {(text, context) for text, context, _plural in messages()} == set(WRITTEN), REMEDY


def test_no_text_lacks_a_translation():
    lacking = [one for one in WRITTEN if not all(translations_of(*one))]

    assert lacking == [], REMEDY


@each([text for text, context in WRITTEN if PLACEHOLDER.search(text)])
def test_a_translation_has_the_placeholders_of_its_text(text):
    texts = [text, WRITTEN[text, ""].msgid_plural or text]
    for source, translated in zip(texts, translations_of(text), strict=False):
        wanted = PLACEHOLDER.findall(source.replace("{tokens}", "{marcadores}"))
        assert sorted(PLACEHOLDER.findall(translated)) == sorted(wanted)


def test_blanks_and_lines_at_the_ends_are_kept():
    for text, context in WRITTEN:
        for translated in translations_of(text, context):
            assert (translated[0].isspace(), translated[-1].isspace()) == (text[0].isspace(), text[-1].isspace()), text


def test_the_compiled_catalog_is_the_written_one():
    with CATALOG.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for (text, context), entry in WRITTEN.items():
        if entry.msgid_plural:
            got = [compiled.ngettext(text, entry.msgid_plural, number) for number in (1, 2)]
        else:
            got = [compiled.pgettext(context, text) if context else compiled.gettext(text)]
        assert got == translations_of(text, context), REMEDY


def test_no_app_that_is_installed_before_ours_has_another_translation_of_a_text():
    """Theirs would be shown in its place: such a text gets a context."""
    with translation.override("es"):
        taken = {
            text for text, context in WRITTEN if not context and translation.gettext(text) not in translations_of(text)
        }

    assert taken == DJANGOS_OWN


def test_people_read_it_and_payloads_stay_as_they_are():
    with translation.override("es"):
        assert str(DeliveryStatus.DELIVERED.label) == "Entregada"
        assert status_value(ClassStatus.CANCELLED) == {"code": 2, "name": "Cancelled"}
        assert "A class was cancelled" in str(get("class.cancelled").schema())
