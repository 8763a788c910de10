"""What goes in and comes out, a module for each noun."""

from __future__ import annotations
