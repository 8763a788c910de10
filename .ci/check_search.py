"""Ask the built documentation's own search what readers look for: the page that answers is among the first results.

    python -m sphinx docs build/docs && python .ci/check_search.py build/docs

The results are ranked as Sphinx's `searchtools.js` ranks them. If a page is not found, correct its title or a heading.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx.search.en import SearchEnglish

ANSWERS = {
    "verify signature": "howto/receive/index",
    "duplicate": "explanation/at-least-once",
    "retry": "explanation/at-least-once",
    "rotate secret": "howto/admin",
    "IP addresses": "explanation/ssrf",
    "why not sent": "howto/troubleshooting",
    "replay missed": "howto/receive/index",
    "celery": "howto/queues",
    "retention": "reference/settings",
    "filter": "howto/filters",
}
"""The page that answers, by the words of a reader."""
FIRST = 3
"""The number of results that a reader looks at."""
TITLE, TEXT = 15, 5
"""The scores of a word in a title or a heading, and of one in the text."""


def results(index: Mapping[str, Any], query: str) -> list[str]:
    """Return the names of the pages that the search finds, the best one first."""
    language = SearchEnglish({})
    words = {language.stem(word) for word in re.findall(r"\w+", query.lower()) if word not in language.stopwords}
    scores = {number: max(_score(index, word, number) for word in words) for number in _with_all(index, words)}
    for title, places in index["alltitles"].items():
        if query.lower() in title.lower() and len(query) >= len(title) / 2:
            for number, _anchor in places:
                whole = index["titles"][number] == title
                scores[number] = max(scores.get(number, 0), round(TITLE * len(query) / len(title)) + whole)
    best = sorted(scores, key=lambda number: (-scores[number], index["titles"][number].lower()))
    return [index["docnames"][number] for number in best]


def _with_all(index: Mapping[str, Any], words: set[str]) -> set[int]:
    """Return the pages that have all words with three letters or more."""
    return set.intersection(
        *({*_pages(index["terms"], word), *_pages(index["titleterms"], word)} for word in words if len(word) > 2)
    )


def _score(index: Mapping[str, Any], word: str, number: int) -> int:
    return TITLE if number in _pages(index["titleterms"], word) else TEXT * (number in _pages(index["terms"], word))


def _pages(terms: Mapping[str, Any], word: str) -> list[int]:
    """Return the numbers of the pages of a word; the index writes a single one without a list."""
    found = terms.get(word, [])
    return found if isinstance(found, list) else [found]


def main(folder: str) -> int:
    """Print each question whose answer is not found. Return 1 if one is not."""
    text = (Path(folder) / "searchindex.js").read_text(encoding="utf-8")
    index = json.loads(text[text.index("{") : text.rindex("}") + 1])
    missed = {
        query: found[:FIRST] for query, page in ANSWERS.items() if page not in (found := results(index, query))[:FIRST]
    }
    for query, found in missed.items():
        print(f"The search for {query!r} finds {', '.join(found) or 'nothing'}, and not {ANSWERS[query]}.")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
