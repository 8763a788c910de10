"""Code samples that verify the requests of a webhook, to copy from the page of its secret.

Each sample uses the Standard Webhooks library of its language. The tests run the Python and the JavaScript samples.
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
class CodeSample:
    """Code in one language, and the command that installs its library."""

    key: str
    language: str
    install: str
    code: str


def code_samples() -> list[CodeSample]:
    """Return the samples, in the order of the page."""
    return [CodeSample(key, language, install, _code(key)) for key, language, install in LANGUAGES]


def _code(key: str) -> str:
    return files(__package__).joinpath(f"{key}.txt").read_text(encoding="utf-8")
