"""The page of the benchmarks has each figure of each benchmark, all of one run, and is as the command writes it."""

import json
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench import page, suite
from tests.bench.environment import ROOT
from tests.bench.figures import DATABASES

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
# The command writes it with the page.
RECORDED = PAGE.with_suffix(".json")
CONDITIONS = {
    "commit": "0123456789",
    "dirty": False,
    "scale": 1.0,
    "date": "2026-11-27",
    "machine": "Processor, 2 cores, 24 GiB of memory",
    "versions": "Python 3, Django 6, SQLite 3, PostgreSQL 15",
}


def measured(name):
    """Return a benchmark's results: each figure has two rounds, and both values are small."""
    return {"load": 0.5, "seconds": 30, "figures": {one.name: [1.0, 3.0] for one in suite.module_of(name).FIGURES}}


@pytest.fixture
def results():
    return {**CONDITIONS, "runs": {db: {name: measured(name) for name in suite.NAMES} for db in DATABASES}}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the command with these arguments; the benchmarks return at once, or fail."""
    monkeypatch.setattr(suite, "_conditions", lambda _allow_dirty: CONDITIONS)
    monkeypatch.setattr(suite, "_templates", lambda _databases: nullcontext())
    monkeypatch.setattr(page, "QUOTING", [tmp_path / "quoting.md"])
    monkeypatch.setenv("TMS_BENCH_SCALE", "1")
    for name in suite.NAMES:
        suite.module_of(name)  # a module keeps the sizes of its first import
    (tmp_path / "quoting.md").write_text("<!-- benchmarks: polling -->\nold\n<!-- end of benchmarks -->\nrest\n")

    def run(*arguments, failing=""):
        done = []

        def one(name, db, _rounds):
            done.append((name, db))
            return {"load": 0.5, "error": "it took longer than 9 s"} if name == failing else measured(name)

        monkeypatch.setattr(suite, "_run", one)
        written = ["--write", str(tmp_path / "page.md"), "--json", str(tmp_path / "results.json")]
        monkeypatch.setattr(sys, "argv", ["bench", "all", *written, *arguments])
        return command.main(), done

    return run


def rows(text):
    return re.findall(r"^\| (?!Figure|Benchmark|\|).*\|$", text, re.MULTILINE)


def test_each_figure_of_each_benchmark_is_one_row_of_the_page(results):
    written = page.render(results)

    for name in suite.NAMES:
        for figure in suite.module_of(name).FIGURES:
            row = f"| {figure.label} | {figure.target()} | {figure.cell('sqlite', [1, 3])} | {figure.cell('postgres', [1, 3])} |"
            assert written.splitlines().count(row) == 1, row
    template = page.TEMPLATE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"\{rows\[(\w+)\]\}", template)) == sorted(page.tables())
    assert "not in this run" not in written


def test_each_module_with_figures_is_a_benchmark_of_the_page_or_run_by_its_name():
    modules = {path.stem for path in Path(suite.__file__).parent.glob("*.py") if "\nFIGURES = " in path.read_text()}

    assert modules == {*suite.NAMES, *suite.SINGLE}


def test_the_command_writes_the_page_its_figures_and_the_quotations(run, tmp_path):
    status, done = run()

    assert status == 0
    assert done == [(name, db) for name in suite.NAMES for db in DATABASES]
    results = json.loads((tmp_path / "page.json").read_text())
    assert (tmp_path / "page.md").read_text() == page.render(results)
    quoting = (tmp_path / "quoting.md").read_text()
    assert "| requests | 2 (1 to 3) | 2 (1 to 3) |" in quoting
    assert quoting.startswith("<!-- benchmarks: polling -->\n| ")
    assert quoting.endswith("<!-- end of benchmarks -->\nrest\n")


def test_a_benchmark_that_fails_is_named_and_the_page_stays_as_it_was(run, tmp_path, capsys):
    status, done = run(failing="ordered")

    assert status == 1
    assert len(done) == len(suite.NAMES) * len(DATABASES)
    assert "Failed: ordered on PostgreSQL: it took longer than 9 s" in capsys.readouterr().out
    assert not (tmp_path / "page.md").exists()


class TestThePageOfTheCheckout:
    def test_is_the_one_that_the_command_wrote(self):
        assert PAGE.read_text(encoding="utf-8") == page.render(json.loads(RECORDED.read_text()))

    def test_is_of_a_complete_run_in_full_size(self):
        results = json.loads(RECORDED.read_text())

        assert (results["dirty"], results["scale"]) == (False, 1)
        assert suite.missing(results) == []

    @pytest.mark.parametrize("path", page.QUOTING, ids=lambda path: path.name)
    def test_is_quoted_with_its_figures(self, path):
        text = path.read_text(encoding="utf-8")

        assert "<!-- benchmarks: " in text
        assert page.quoted(text, json.loads(RECORDED.read_text())) == text
