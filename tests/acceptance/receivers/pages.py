"""Code blocks of docs/howto/receive/ as files: the first line of each names its own."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[3] / "docs" / "howto" / "receive"
BLOCK = re.compile(r"^```(?:python|js|php|ts)\n((?:<\?php\n)?(?:#|//) (\S+)\n.*?)^```$", re.MULTILINE | re.DOTALL)


def write(folder, *names):
    """Write the code of these pages into a folder."""
    for name in names:
        found = BLOCK.findall((PAGES / f"{name}.md").read_text(encoding="utf-8"))
        assert found, f"{name}.md has no code that names its file"
        for code, file in found:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
