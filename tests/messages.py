"""The texts that can be translated, and the Spanish they have become.

    python -m tests.messages

writes the catalog anew: what is new without a translation, what is gone left out, and the compiled file that Django reads.
It needs no gettext tools. Texts are found where `makemessages` finds them, and in the catalogue of events beside.
"""

import ast
import re
from pathlib import Path

import polib

PACKAGE = Path(__file__).resolve().parents[1] / "tms_webhooks"
CATALOG = PACKAGE / "locale" / "es" / "LC_MESSAGES" / "django.po"
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"}

_TEXT = r"""(u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")"""
_IN_TEMPLATE = re.compile(rf"\b(gettext|ngettext|pgettext|_)\({_TEXT}(?:,\s*{_TEXT})?")


def messages():
    """Return every text, each once, in the order of the alphabet, in which changes are easy to read."""
    found = [
        *(one for path in sorted(PACKAGE.rglob("*.py")) for one in _of_module(path)),
        *(one for path in sorted(PACKAGE.rglob("templates/**/*.html")) for one in _of_template(path)),
        *_of_catalogue(),
    ]
    # A text that stands somewhere with a plural has one.
    plurals = {(text, context): plural for text, context, plural in sorted(found)}
    return sorted((text, context, plural) for (text, context), plural in plurals.items())


def _of_module(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in FUNCTIONS:
            continue
        texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        # Of what is put together only when it is shown there is no more than the context.
        if len(texts) > node.func.id.startswith("pgettext"):
            yield _message(node.func.id, *texts)


def _of_template(path):
    from django.utils.translation.template import templatize

    for function, *texts in _IN_TEMPLATE.findall(templatize(path.read_text(encoding="utf-8"))):
        yield _message(function, *(ast.literal_eval(text) for text in texts if text))


def _message(function, first, second="", *_others):
    if function.startswith("pgettext"):
        return second, first, ""
    return first, "", second if function.startswith("ngettext") else ""


def _of_catalogue():
    from tms_webhooks.catalogue.types import BUILT_IN
    from tms_webhooks.event_names import title_of

    for event_type in (one for one in BUILT_IN if one.offered):
        yield (title_of(event_type.name, noun=event_type.noun.name), "event", "")
        yield from ((text, "", "") for text in (event_type.noun.title, event_type.summary))


def main():
    """Write the catalog and its compiled form."""
    old = (
        {(entry.msgid, entry.msgctxt or ""): entry for entry in polib.pofile(str(CATALOG))} if CATALOG.exists() else {}
    )
    new = polib.POFile(wrapwidth=120)
    new.metadata = {
        "Language": "es",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": "nplurals=2; plural=(n != 1);",
    }
    for text, context, plural in messages():
        known = old.get((text, context))
        entry = polib.POEntry(msgid=text, msgctxt=context or None, msgid_plural=plural)
        if plural:
            entry.msgstr_plural = known.msgstr_plural if known and known.msgid_plural else {0: "", 1: ""}
        else:
            entry.msgstr = known.msgstr if known else ""
        if "%(" in text or "%d" in text:
            entry.flags.append("python-format")
        new.append(entry)
    new.save(str(CATALOG))
    new.save_as_mofile(str(CATALOG.with_suffix(".mo")))
    print(f"{len(new)} texts, {len(new.untranslated_entries())} without a translation")  # noqa: T201 (its answer)


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main()
