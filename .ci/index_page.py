"""Make the README and the addresses for the page of a package index, from the repository's address in ``TMS_REPOSITORY_URL``.

Relative links lead nowhere on that page. They become absolute, or plain text if there is no address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:)([^)]+)\)")


class IndexPage(MetadataHookInterface):
    """A hook of hatchling, for each build of an sdist, and for editable installations."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``readme`` and ``urls``. A wheel gets those of the sdist that it is built from."""
        if "readme" in metadata:
            return
        root = Path(self.root)
        (version,) = re.findall(r'__version__ = "(.+)"', (root / "tms_webhooks" / "__init__.py").read_text("utf-8"))
        address = os.environ.get("TMS_REPOSITORY_URL", "").rstrip("/")

        def link(found: re.Match[str]) -> str:
            picture, text, path = found.groups()
            kind = "raw" if picture else "blob"
            return f"{picture}[{text}]({address}/{kind}/v{version}/{path})" if address else text

        readme = RELATIVE.sub(link, (root / "README.md").read_text("utf-8"))
        if address:
            metadata["urls"] = {
                "Repository": address,
                "Documentation": f"{address}/blob/v{version}/docs/index.md",
                "Changelog": f"{address}/blob/v{version}/CHANGELOG.md",
                "Issues": f"{address}/issues",
            }
        metadata["readme"] = {"text": readme, "content-type": "text/markdown"}
