"""Code that verifies what a webhook is sent, to copy from the page of its secret.

Each uses the public library of Standard Webhooks for its language. The tests run those in Python and JavaScript.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

LANGUAGES = (
    ("python", "Python", "pip install standardwebhooks"),
    ("javascript", "JavaScript", "npm install standardwebhooks"),
    ("csharp", "C#", "dotnet add package StandardWebhooks"),
    ("php", "PHP", "composer require standard-webhooks/standard-webhooks"),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Code in one language, and how to get the library that it needs."""

    key: str
    language: str
    install: str
    code: str


def all_samples() -> list[Sample]:
    """Return the samples, in the order in which the page shows them."""
    return [Sample(key, language, install, _code(key)) for key, language, install in LANGUAGES]


def _code(key: str) -> str:
    return files(__package__).joinpath(f"{key}.txt").read_text(encoding="utf-8")
