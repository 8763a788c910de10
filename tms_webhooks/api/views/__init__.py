"""The viewsets, one module per resource. `resource` holds their base class."""

from __future__ import annotations
