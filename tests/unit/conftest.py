"""Unit tests see the catalogue of the package, without the fields that the example project adds to it."""

import pytest

from tests.catalogue import only_canonical


@pytest.fixture(scope="module", autouse=True)
def canonical_catalogue():
    """Leave the example project's own fields out."""
    with only_canonical():
        yield
