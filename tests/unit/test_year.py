"""The simulated year of ``python -m tests.year``, where it can't run."""

import pytest

from tests.year import __main__ as year


def test_without_postgresql_it_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr("sys.argv", ["tests.year"])
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr("tests.scenarios.postgres.installed", lambda: pytest.skip("initdb is not installed here."))

    with pytest.raises((SystemExit, pytest.skip.Exception)) as ended:
        year.main()

    assert ended.type is SystemExit
    assert str(ended.value) == "A year needs a PostgreSQL server of its own. initdb is not installed here."
